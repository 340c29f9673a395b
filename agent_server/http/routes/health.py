"""Whether the server lives, and whether it can take work. No log line above DEBUG, no limits."""

from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import JSONResponse

from agent_server.http.deps import RuntimeDep, make_router

router = make_router("", "health")

_NOT_READY: Final[dict[int | str, dict[str, Any]]] = {503: {"description": "A check fails"}}


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Ready(BaseModel):
    """What the server says of itself. ``demo``: answers are scripted, no AI is behind them."""

    status: str
    checks: dict[str, bool]
    provider: str
    demo: bool
    sandbox: dict[str, str]


@router.get("/livez", summary="Is the process alive?")
async def livez() -> Alive:
    """Answer without touching anything."""
    return Alive()


@router.get("/readyz", summary="Can it take work?", response_model=Ready, responses=_NOT_READY)
@router.get("/healthz", include_in_schema=False)
async def readyz(runtime: RuntimeDep) -> JSONResponse:
    """Answer 200 if every check holds, else 503."""
    checks = await runtime.checks()
    ready = Ready(
        status="ready" if all(checks.values()) else "not ready",
        checks=checks,
        provider=runtime.provider,
        demo=runtime.provider == "demo",
        sandbox=runtime.sandbox_layers,
    )
    return JSONResponse(ready.model_dump(), status_code=200 if all(checks.values()) else 503)
