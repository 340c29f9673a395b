"""A store that takes its time, fails and loses ownership when a test says so."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent_server.errors import StoreError
from agent_server.store import Claim, Commit
from agent_server.store.memory import MemoryStore

Mood = Literal["well", "fails"]


@dataclass(frozen=True, slots=True)
class Step:
    """How one commit goes: how many turns of the event loop it takes, and whether it fails."""

    turns: int = 0
    mood: Mood = "well"


@dataclass(slots=True)
class WaywardStore(MemoryStore):
    """A memory store whose commits follow ``steps``, then go well at once.

    A commit that fails has written nothing.
    """

    steps: deque[Step] = field(default_factory=deque)
    failures: int = 0

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    async def commit(self, commits: Sequence[Commit]) -> list[int]:
        step = self.steps.popleft() if self.steps else Step()
        for _ in range(step.turns):
            await asyncio.sleep(0)
        if step.mood == "fails":
            self.failures += 1
            raise StoreError("disk full")
        firsts = await MemoryStore.commit(self, commits)
        for _ in range(step.turns):
            await asyncio.sleep(0)
        return firsts

    async def steal(self, run_id: str) -> Claim:
        """Take a running run away from its owner, as another server would."""
        for claim, row in await self.claim_orphans():
            if row.id == run_id:
                return claim
        raise AssertionError(f"{run_id} does not run")
