"""Whether the service lives, and whether it can serve."""

from fastapi import APIRouter, HTTPException, Request
from sqlalchemy.exc import DBAPIError

from service.experiments.schema import is_at_head

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Whether the process answers")
def livez() -> dict[str, str]:
    """It does."""
    return {"status": "alive"}


@router.get("/readyz", summary="Whether the database answers and is at the newest schema")
def readyz(request: Request) -> dict[str, str]:
    """503 if not."""
    try:
        ready = is_at_head(request.app.state.database.reader)
    except DBAPIError as error:
        raise HTTPException(503, "the database does not answer") from error
    if not ready:
        raise HTTPException(503, "the database is not at the newest schema; run: python -m migrations")
    return {"status": "ready"}
