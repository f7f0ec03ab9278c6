"""The definition of an experiment: its fields, layers, shapes and size. It needs pydantic, no database and no torch."""
