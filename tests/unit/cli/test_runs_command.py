"""``runs``: replay keeps the rhythm of what happened."""

from collections.abc import AsyncGenerator

from pydantic_core import to_json

from agent_server.cli.runs import pace
from agent_server.client import RunEvent


async def recorded(*times_ms: int) -> AsyncGenerator[RunEvent, None]:
    for seq, ts in enumerate(times_ms, 1):
        yield RunEvent(seq, "text.delta", to_json({"seq": seq, "ts": ts}))


async def test_a_replay_pauses_as_long_as_it_took_divided_by_the_speed() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    events = pace(recorded(1_000, 1_000, 1_500, 1_400, 3_500), 2, sleep=sleep)
    assert [event.seq async for event in events] == [1, 2, 3, 4, 5]
    assert pauses == [0.25, 1.05]
