"""The fields by which users find an experiment."""

from typing import Annotated

from pydantic import Field

from normlab.spec.expectations import FORMAT

TEXT = r"^[^\x00-\x1f\ufffe\uffff]*$"  # the characters that XML, and so an SVG figure, can hold

_FORMAT = {FORMAT: "without control characters"}

Text = Annotated[str, Field(max_length=200, pattern=TEXT, json_schema_extra=_FORMAT)]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=TEXT, json_schema_extra=_FORMAT)]

Name = Annotated[
    Text | None,
    Field(description="A name of your choice, at most 200 characters. Figures show it. It need not be unique."),
]
Tags = Annotated[
    tuple[Tag, ...],
    Field(
        strict=False,
        max_length=32,
        description="Labels of your choice, at most 32 of 64 characters each. The list of experiments filters by them.",
    ),
]
