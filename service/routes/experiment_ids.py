"""The query parameter that names several experiments."""

from typing import Annotated

from fastapi import Query
from fastapi.exceptions import RequestValidationError

from normlab.spec.expectations import FORMAT
from service.http.query_parameters import parameter_error

MAX_EXPERIMENTS = 50
# The documented pattern. parse_ids also accepts spaces, empty items and repeated numbers.
IDS = rf"^[1-9][0-9]{{0,8}}(,[1-9][0-9]{{0,8}}){{0,{MAX_EXPERIMENTS - 1}}}$"

ExperimentIds = Annotated[
    str,
    Query(
        description="Numbers of the experiments, separated by commas.",
        examples=["1,2,3"],
        json_schema_extra={"pattern": IDS, FORMAT: f"1 to {MAX_EXPERIMENTS} numbers such as 1,2,3"},
    ),
]


def parse_ids(listed: str) -> list[int]:
    """Return the numbers of a comma-separated list, each once. Raises RequestValidationError."""
    words = [word.strip() for word in listed.split(",") if word.strip()]
    if not words or len(words) > MAX_EXPERIMENTS or not all(map(_is_an_id, words)):
        expected = f"expected 1 to {MAX_EXPERIMENTS} numbers such as 1,2,3"
        raise RequestValidationError([parameter_error("experiments", expected, listed)])
    return list(dict.fromkeys(map(int, words)))


def _is_an_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and 0 < int(word) < 2**31
