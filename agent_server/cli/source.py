"""Where the command line finds runs, and the first of three places: the server.

One process owns a database. While a server does, commands talk to it over HTTP with the address
and token in its lock file; while none does, they read the database (``stored``) or become its owner
(``local``). Those two are imported only where they are needed: they cost a second.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from agent_server.client import AgentServerClient, RunEvent
from agent_server.errors import Unavailable
from agent_server.messages import JsonObject
from agent_server.store.lock import LockInfo


class RunReader(Protocol):
    """Reads what was recorded."""

    async def list_runs(self, *, limit: int, **where: Any) -> list[JsonObject]:
        """Return the newest runs that match, as the API's records."""
        ...

    async def get_run(self, run_id: str) -> JsonObject:
        """Return a run's record. Raises ``NotFound``."""
        ...

    def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events in order; live ones too where somebody works on it."""
        ...


class RunStarter(RunReader, Protocol):
    """Starts runs as well, and stops them."""

    async def start(self, prompt: str, *, agent: str, thread_id: str | None) -> str:
        """Start a run and return its id. Raises ``RequestError``."""
        ...

    async def cancel(self, run_id: str) -> None:
        """Stop a run; return once its end is on disk."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """The runs of a server that holds the database."""

    client: AgentServerClient

    async def list_runs(self, *, limit: int, **where: Any) -> list[JsonObject]:
        """Return the newest runs that match."""
        page = await self.client.list_runs(limit=limit, **where)
        runs: list[JsonObject] = page["data"]
        return runs

    async def get_run(self, run_id: str) -> JsonObject:
        """Return a run's record."""
        return await self.client.get_run(run_id)

    def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events, live ones too."""
        return self.client.events(run_id, after=after)

    async def start(self, prompt: str, *, agent: str, thread_id: str | None) -> str:
        """Start a run that goes on without this process."""
        run = await self.client.create_run(prompt, agent=agent, thread_id=thread_id)
        run_id: str = run["id"]
        return run_id

    async def cancel(self, run_id: str) -> None:
        """Stop a run."""
        await self.client.cancel(run_id)


def connect(held: LockInfo) -> Served:
    """Talk to the process that holds the database.

    Raises:
        Unavailable: it is no server, or is still starting.
    """
    if held.url is None:
        raise Unavailable(
            f"process {held.pid} holds the database and serves no requests (yet): try again "
            "when it is ready or has ended",
            code="storage_locked",
        )
    return Served(AgentServerClient(held.url, held.admin_token))
