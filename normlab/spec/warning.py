"""Warnings of an experiment: what makes its result doubtful although nothing failed."""

from pydantic import BaseModel, Field

from normlab.spec.lifecycle import Described


class WarningCode(Described):
    """What a warning is about."""

    ALL_ZERO_GRADIENTS = (
        "all_zero_gradients",
        "At a captured step every value of every layer's weight gradient was exactly 0, while the loss was not near 0. "
        "Found if `weight_gradient` is captured.",
    )
    DEAD_LAYER = (
        "dead_layer",
        "At a captured step every value of this layer's weight gradient was exactly 0, and another layer's was not. "
        "Found if `weight_gradient` is captured.",
    )
    LOSS_ABOVE_CHANCE_AT_END = (
        "loss_above_chance_at_end",
        "The training loss of the last epoch is above ln(classes), the loss of a network that gives every class the "
        "same probability.",
    )
    NOTHING_LEARNED = (
        "nothing_learned",
        "After the last epoch neither accuracy is above that of always naming the most frequent class, within the "
        "99 % interval of a binomial distribution.",
    )
    TEST_AT_CHANCE = (
        "test_at_chance",
        "After the last epoch the training accuracy is above that of always naming the most frequent class, and the "
        "test accuracy is not. Running statistics that have not followed the training are one cause.",
    )
    OPTIMIZER_OVERFLOW = (
        "optimizer_overflow",
        "An average of the optimizer is not finite, so Adam no longer changes the parameters that it belongs to. "
        "float32's squares of gradients overflow from 1.8e19 on.",
    )
    ONE_CLASS_BATCHES = (
        "one_class_batches",
        "In batches of the first epoch all images have one class, so their gradients do not tell it from the others.",
    )
    FOLDER_WITHOUT_SHUFFLING = (
        "folder_without_shuffling",
        "The images of a folder are in the order of their classes, and `shuffle` is false, which is the default of "
        "protocol `original`.",
    )
    ENGINE_FELL_BACK = (
        "engine_fell_back",
        "The requested engine could not be used, or the engine of `auto` failed, and eager runs instead. "
        "The last bits of the result are those of eager.",
    )


class ExperimentWarning(BaseModel):
    """One warning. Each is given once, for the first epoch and of each layer that it was found in."""

    code: WarningCode = Field(description=" ".join(f"`{code.value}`: {code.description}" for code in WarningCode))
    message: str = Field(description="What was found, with its numbers.")
    layer: int | None = Field(default=None, description="Number of the layer that it is about; null: the whole.")
    epoch: int | None = Field(
        default=None, description="Number of the epoch that it was first found in, from 0; null: none."
    )
