"""Whether the service lives, and whether it can serve."""

from fastapi import HTTPException, Request

from service.authorization import needs, routes

router = routes(tag="health")


@router.head("/livez", summary="The same, without a body")
@router.get("/livez", summary="Whether the process answers")
@needs("nothing")
async def livez() -> dict[str, str]:
    """It does: whatever else waits, this does not."""
    return {"status": "alive"}


@router.head("/readyz", summary="The same, without a body")
@router.get("/readyz", summary="Whether the database answers and has the schema that this service knows")
@needs("nothing")
def readyz(request: Request) -> dict[str, str]:
    """503 if not."""
    if (unready := request.app.state.readiness.check()) is not None:
        raise HTTPException(503, unready, headers={"retry-after": "5"})
    return {"status": "ready"}
