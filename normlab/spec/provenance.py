"""The provenance of an experiment in JSON: what its last attempt ran on, and the data as they were trained on."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ClassResponse(BaseModel):
    """One class of the data set."""

    name: str = Field(description="Its name; its number from 0 if the data set does not name its classes.")
    train: int = Field(description="Number of its training images.")
    test: int = Field(description="Number of its test images.")


class FolderResponse(BaseModel):
    """How a folder of the user's images became a data set."""

    background: str = Field(description="Colour that transparent pixels are laid on, as #rrggbb.")
    held_out: float | None = Field(
        description="Fraction of each class's images that was held out for the test; null if the folder has its own."
    )
    skipped: int = Field(description="Number of images that could not be read and are left out, with skip_damaged.")
    first_skipped: list[str] = Field(description="Paths of the first 20 of them, relative to the data directory.")
    ignored: dict[str, int] = Field(
        description="Number of files that are no images of a class, by the ending of their names; at most 20 endings. "
        "A name that ends in / is an unused part."
    )


class DataResponse(BaseModel):
    """The images and labels, as they were trained on."""

    classes: int = Field(description="Number of classes.")
    train: int = Field(description="Number of training images.")
    test: int = Field(description="Number of test images.")
    by_class: list[ClassResponse] = Field(description="The classes in the order of their labels, at most 1,000.")
    sha256: str = Field(
        description="SHA-256, in hex, of the training images, training labels, test images and test labels: images as "
        "8-bit numbers in the order image, channel, row, column, and labels as 64-bit little-endian integers."
    )
    image_size: int = Field(description="Height and width of the images, in pixels.")
    resize: str = Field(description="How images of another size were resized.")
    crop: str | None = Field(description="What was cut out of each image before; null: nothing.")
    folder: FolderResponse | None = Field(description="Of the data set `folder` alone; null for the others.")


class ProvenanceResponse(BaseModel):
    """What an attempt ran on. Fields that an older release did not store are null or empty."""

    model_config = ConfigDict(extra="allow")

    versions: dict[str, str] = Field(default={}, description="Versions of python, normlab, torch and numpy.")
    commit: str | None = Field(
        default=None,
        description="Commit of normlab's source, which ends in -dirty if files were changed; null if it is not known.",
    )
    device: str | None = Field(default=None, description="Device of the training, such as `cpu` or `cuda:0`.")
    device_name: str | None = Field(default=None, description="Name of the processor or of the GPU.")
    engine: str | None = Field(default=None, description="How the steps were run: eager, compiled or cuda_graph.")
    engine_reason: str | None = Field(
        default=None,
        description="Why this engine ran: it was requested, by the rule of `auto`, or because another one could not.",
    )
    threads: int | None = Field(default=None, description="Number of CPU threads of the training.")
    host: str | None = Field(default=None, description="Name of the machine.")
    seed: int | None = Field(default=None, description="Seed of the experiment.")
    resumed_at_step: int | None = Field(
        default=None, description="Number of steps in the checkpoint that it resumed from; null if from the start."
    )
    data: DataResponse | None = Field(default=None, description="What it was trained on.")
    began_with: dict[str, Any] | None = Field(
        default=None, description="What the training began with, of all that decides the last bits of its result."
    )
    differs: list[str] = Field(default=[], description="What differs from that in this attempt, in words.")
