"""The cursor of the list: where a page ends, in plain text.

It is the number of the page's last experiment. In another order than that of the numbers, a comma and that experiment's
value of the sort key follow, as JSON: `17,0.95`, `17,"a name"` or `17,null`.
"""

import json
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from normlab.store.listing import Order, Position
from service.http.query_parameters import parameter_error

CURSOR = r"^[1-9][0-9]{0,9}(,.+)?$"
MAX_CURSOR_LENGTH = 4000  # a name of 200 characters may be much longer without upper case, and as JSON
MAX_ID = 2**31 - 1

_TEXT: TypeAdapter[Any] = TypeAdapter(Annotated[str, Field(pattern=r"^[^\x00]*$")] | None)
_NUMBER: TypeAdapter[Any] = TypeAdapter(FiniteFloat | None)


def cursor_of(end: Position, order: Order) -> str:
    """Return the cursor of the page that follows this end of a page."""
    return str(end.id) if order.key == "id" else f"{end.id},{json.dumps(end.value, ensure_ascii=False)}"


def parse_cursor(cursor: str | None, order: Order) -> Position | None:
    """Return the end of the page before. Raises RequestValidationError for a cursor of another order."""
    if cursor is None:
        return None
    number, comma, value = cursor.partition(",")
    if int(number) > MAX_ID or bool(comma) == (order.key == "id"):
        raise _invalid(cursor, order)
    if not comma:
        return Position(int(number))
    adapter = _TEXT if order.key == "name" else _NUMBER
    try:
        return Position(int(number), adapter.validate_json(value, strict=True))
    except ValidationError:
        raise _invalid(cursor, order) from None


def _invalid(cursor: str, order: Order) -> RequestValidationError:
    value = {"id": "", "name": ',"a name"'}.get(order.key, ",0.5")
    expected = f"expected the cursor of a page that is sorted by {order.key}, such as 17{value}"
    return RequestValidationError([parameter_error("cursor", expected, cursor)])
