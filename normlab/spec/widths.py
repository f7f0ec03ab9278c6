"""The width of a layer: a number, or `classes`, the number of classes of the data set."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, WrapValidator
from pydantic_core import PydanticCustomError

CLASSES: Final = "classes"
CLASSES_TEXT = (
    "`classes`: as many as the data set has classes. It becomes their number at once or, with dataset `folder`, when a "
    "worker has read the folder."
)

Width = int | Literal["classes"]


def _width(most: int) -> Callable[[Any, Any], Width]:
    """Return a validator whose errors speak of the number alone, where a union's would speak of both types."""
    number = TypeAdapter(Annotated[int, Field(ge=1, le=most, strict=True)])

    def validate(value: Any, handler: Any) -> Width:
        if value == CLASSES:
            return CLASSES
        if isinstance(value, str):
            raise PydanticCustomError("int_type", "Input should be a valid integer, or `classes`")
        return number.validate_python(value)

    return validate


Channels = Annotated[Annotated[int, Field(ge=1, le=4096)] | Literal["classes"], WrapValidator(_width(4096))]
Features = Annotated[Annotated[int, Field(ge=1, le=65_536)] | Literal["classes"], WrapValidator(_width(65_536))]
