"""Integers as JSON Schema has them: 1.0 is one, 1.5 is not."""

from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, model_validator

MAX_EXACT = 2**53  # from here on a float cannot hold every integer


class IntegersAsInJSON(BaseModel):
    """A model whose fields of integers also accept a float that is an integer, although they accept no text."""

    @model_validator(mode="before")
    @classmethod
    def _convert_integers(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = _integer_fields(cls)
        return {name: _as_integer(value) if name in fields else value for name, value in data.items()}


@cache
def _integer_fields(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if _accepts_integers(field.annotation))


def _accepts_integers(annotation: Any) -> bool:
    return annotation is int or any(map(_accepts_integers, get_args(annotation)))


def _as_integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and abs(value) <= MAX_EXACT and value.is_integer() else value
