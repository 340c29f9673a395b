"""The configured agents."""

from fastapi import APIRouter

from agent_server.http.deps import RuntimeDep
from agent_server.http.requests import StrictRoute
from agent_server.http.schemas import AgentRecord, Page

router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=StrictRoute)


@router.get("", summary="List the agents")
async def list_agents(runtime: RuntimeDep) -> Page[AgentRecord]:
    """Return every agent, with what a request may change of it."""
    agents = [AgentRecord.of(agent) for agent in runtime.agents.values()]
    return Page(data=agents, has_more=False, next_cursor=None)
