"""Errors of a worker that no other module of it owns."""


class InvalidExperiment(ValueError):
    """The spec or the checkpoint of an experiment cannot be used. The message is written for the user."""
