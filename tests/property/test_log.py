"""The log alone: whatever is appended, whatever the store does, no event is lost or doubled."""

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_server.errors import StoreError
from agent_server.events import (
    AnyEvent,
    HistoryRepaired,
    RecordedEvent,
    RunCreated,
    RunStarted,
    TextDelta,
    ToolCallProgress,
)
from agent_server.log import EventLog
from agent_server.messages import text_message
from agent_server.store import Claim
from tests.fakes.wayward_store import Step, WaywardStore
from tests.unit.store.store_samples import completed, new_run

LIMIT_S = 2
RUNS = 3
BOUNDED = settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

Kind = Literal["delta", "progress", "waits", "large", "huge", "end"]
PADDING = {"large": 5_000, "huge": 300_000}


@dataclass(frozen=True, slots=True)
class Append:
    """Append an event of this kind; ``waits`` False: the writer goes on without it."""

    run: int
    kind: Kind
    waits: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that is no append: a follower joins, the run is stolen or closed, time passes."""

    run: int
    what: Literal["follow", "steal", "close", "pass"]
    number: int


appends = st.builds(
    Append,
    run=st.integers(0, RUNS - 1),
    kind=st.sampled_from(["delta", "delta", "delta", "progress", "waits", "large", "huge", "end"]),
    waits=st.booleans(),
)
happenings = st.builds(
    Happening,
    run=st.integers(0, RUNS - 1),
    what=st.sampled_from(["follow", "follow", "pass", "pass", "steal", "close"]),
    number=st.integers(0, 6),
)
scripts = st.lists(st.one_of(appends, appends, happenings), max_size=40)
moods = st.sampled_from(["well", "well", "well", "well", "fails"])
commits = st.lists(st.builds(Step, turns=st.integers(0, 4), mood=moods), max_size=20)


@dataclass
class Ran:
    """What the test knows of one run."""

    run_id: str
    claim: Claim
    sent: list[str] = field(default_factory=list)
    ended: bool = False
    returned: dict[str, Kind] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    followed: list[tuple[int, list[RecordedEvent]]] = field(default_factory=list)
    followers_ended: int = 0


def make_event(kind: Kind, token: str) -> AnyEvent:
    match kind:
        case "progress":
            return ToolCallProgress(call_id="c", progress=1, total=None, message=token)
        case "waits":
            return HistoryRepaired(repairs=[{"kind": "answered_orphan", "call_id": token}])
        case "end":
            return completed(token)
        case _:
            return TextDelta(turn=1, block="b1.1.0", delta=token)


def tokens(events: list[RecordedEvent]) -> list[str]:
    """Read back what was appended, in order; joined deltas come apart again."""
    found = ""
    for recorded in events:
        match recorded.parse():
            case TextDelta(delta=text):
                found += text
            case ToolCallProgress(message=message):
                found += message or ""
            case HistoryRepaired(repairs=repairs):
                found += repairs[0]["call_id"] or ""
            case end if recorded.is_terminal:
                found += getattr(end, "output", "")
            case _:
                pass
    return [piece + ";" for piece in found.split(";")[:-1]]


class Scene:
    """One example: a log on a wayward store, and the tasks that write to it and read from it."""

    def __init__(self, steps: list[Step]) -> None:
        self.store = WaywardStore(steps=deque(steps))
        self.log = EventLog(self.store, flush_s=0)
        self.runs: list[Ran] = []

    async def open(self) -> None:
        for _ in range(RUNS):
            run = new_run()
            created = RunCreated(
                agent="a", model="m", input=[text_message("user", "hi")], limits={}
            )
            await self.log.create(run, created, RunStarted())
            self.runs.append(Ran(run.id, Claim(run.id, 1)))

    async def append(self, ran: Ran, kind: Kind, token: str) -> None:
        """Append one event, none after the run's end."""
        if ran.ended:
            return
        ran.ended = kind == "end"
        ran.sent.append(token)
        try:
            await self.log.append(ran.claim, make_event(kind, token))
        except StoreError:
            ran.refused.add(token)
        else:
            ran.returned[token] = kind

    async def follow(self, ran: Ran, after: int) -> None:
        seen: list[RecordedEvent] = []
        ran.followed.append((after, seen))
        async with aclosing(self.log.follow(ran.run_id, after=after)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                seen.extend(batch)
        ran.followers_ended += 1

    async def play(self, script: list[Append | Happening], tasks: asyncio.TaskGroup) -> None:
        for number, step in enumerate(script):
            ran = self.runs[step.run]
            match step:
                case Append(kind=kind, waits=waits):
                    token = f"{number}{'.' * PADDING.get(kind, 0)};"
                    if waits:
                        await self.append(ran, kind, token)
                    else:
                        tasks.create_task(self.append(ran, kind, token))
                case Happening(what="follow", number=after):
                    tasks.create_task(self.follow(ran, after))
                case Happening(what="steal"):
                    if (await self.store.get_run("acme", ran.run_id)).status == "running":
                        await self.store.steal(ran.run_id)
                case Happening(what="close"):
                    self.log.close(ran.run_id)
                case Happening(number=turns):
                    for _ in range(turns):
                        await asyncio.sleep(0)

    async def finish(self, tasks: asyncio.TaskGroup) -> None:
        """Let what is buffered reach the store: every live run gets one last waiting event."""
        for ran in self.runs:
            tasks.create_task(self.append(ran, "end", "last;"))

    async def check(self, ran: Ran, *, closed: bool) -> None:
        events = await self.store.read_events(ran.run_id, limit=10_000)
        kept = tokens(events)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert not any(event.is_terminal for event in events[:-1])
        assert kept == ran.sent[: len(kept)]
        assert len(ran.returned) + len(ran.refused) == len(ran.sent)
        assert not ran.refused.intersection(kept)
        lost = {kind for token, kind in ran.returned.items() if token not in set(kept)}
        assert lost.isdisjoint({"waits", "end"})
        if not closed and not ran.refused:
            assert not lost
            assert events[-1].is_terminal
        assert ran.run_id not in self.log._live
        self.check_followers(ran, events)

    @staticmethod
    def check_followers(ran: Ran, events: list[RecordedEvent]) -> None:
        """Whoever followed has ended, and saw one unbroken piece of what is on disk."""
        assert ran.followers_ended == len(ran.followed)
        for after, seen in ran.followed:
            if seen:
                first = seen[0].seq
                assert first <= after + 1
                assert seen == events[first - 1 : first - 1 + len(seen)]


@BOUNDED
@given(script=scripts, steps=commits)
async def test_whatever_the_store_does_no_event_is_lost_doubled_or_out_of_order(
    script: list[Append | Happening], steps: list[Step]
) -> None:
    scene = Scene(steps)
    await scene.open()
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as services:
        serving = services.create_task(scene.log.serve())
        async with asyncio.TaskGroup() as tasks:
            await scene.play(script, tasks)
            await scene.finish(tasks)
        serving.cancel()
    closed = {step.run for step in script if isinstance(step, Happening) and step.what == "close"}
    for number, ran in enumerate(scene.runs):
        await scene.check(ran, closed=number in closed)
