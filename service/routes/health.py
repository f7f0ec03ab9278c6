"""Health checks: whether the process runs, and whether it can serve."""

from fastapi import HTTPException, Request

from normlab.spec.service_responses import AliveResponse, ReadyResponse
from service.http.authorization import guarded_router, needs

router = guarded_router(tag="health")


@router.get("/livez", summary="Check that the process runs")
@needs("nothing")
async def livez() -> AliveResponse:
    """Returns 200 without the database and without a thread, even while other requests wait."""
    return AliveResponse(status="alive")


@router.get("/readyz", summary="Check that the database answers and has the schema that this service needs")
@needs("nothing")
def readyz(request: Request) -> ReadyResponse:
    """Returns 503, with the reason, if it does not."""
    if (problem := request.app.state.readiness.check()) is not None:
        raise HTTPException(503, problem, headers={"retry-after": "5"})
    return ReadyResponse(status="ready")
