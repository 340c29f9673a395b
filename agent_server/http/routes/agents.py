"""The configured agents."""

from agent_server.http.deps import RuntimeDep, make_router
from agent_server.http.schemas import AgentRecord, Page

router = make_router("/v1/agents", "agents")


@router.get("", summary="List the agents")
async def list_agents(runtime: RuntimeDep) -> Page[AgentRecord]:
    """Return every agent, with what a request may change of it."""
    agents = [AgentRecord.of(agent) for agent in runtime.agents.values()]
    return Page(data=agents, has_more=False, next_cursor=None)
