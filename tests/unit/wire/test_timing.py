from collections.abc import AsyncGenerator, Sequence

from agent_server.events import RecordedEvent
from agent_server.wire.timing import pace, stop_after


class FakeClock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        assert delay_s > 0
        self.now += delay_s


class Source:
    """Batches of events, and whether whoever read them closed them."""

    def __init__(self, *batches: Sequence[RecordedEvent]) -> None:
        self.batches = batches
        self.closed = False

    async def read(self) -> AsyncGenerator[list[RecordedEvent], None]:
        try:
            for batch in self.batches:
                yield list(batch)
        finally:
            self.closed = True


def event(seq: int, ts: int) -> RecordedEvent:
    return RecordedEvent(
        run_id="r", thread_id="t", seq=seq, ts=ts, type="run.started", turn=None, data=b"{}"
    )


async def paced(source: Source, speed: float) -> list[tuple[float, list[int]]]:
    clock = FakeClock()
    return [
        (round(clock.now - 100, 6), [e.seq for e in batch])
        async for batch in pace(source.read(), speed, clock=clock.read, sleep=clock.sleep)
    ]


async def test_events_come_as_far_apart_as_they_were_recorded() -> None:
    source = Source([event(1, 5_000), event(2, 5_250), event(3, 7_000)])
    assert await paced(source, 1) == [(0, [1]), (0.25, [2]), (2, [3])]
    assert source.closed


async def test_speed_divides_the_gaps() -> None:
    source = Source([event(1, 5_000), event(2, 6_000)], [event(3, 9_000)])
    assert await paced(source, 4) == [(0, [1]), (0.25, [2]), (1, [3])]
    assert await paced(source, 0.5) == [(0, [1]), (2, [2]), (8, [3])]


async def test_events_due_together_stay_together() -> None:
    source = Source([event(1, 0), event(2, 0), event(3, 10), event(4, 10)])
    assert await paced(source, 1) == [(0, [1, 2]), (0.01, [3, 4])]


async def test_a_clock_that_went_back_delays_nothing() -> None:
    source = Source([event(1, 5_000), event(2, 4_000), event(3, 5_500)])
    assert await paced(source, 1) == [(0, [1, 2]), (0.5, [3])]


async def test_a_stream_stops_after_the_wanted_seq() -> None:
    source = Source([event(1, 0), event(2, 0)], [event(3, 0), event(4, 0)], [event(5, 0)])
    batches = [[e.seq for e in batch] async for batch in stop_after(source.read(), 3)]
    assert batches == [[1, 2], [3]]
    assert source.closed


async def test_a_stream_that_begins_past_the_wanted_seq_is_empty() -> None:
    source = Source([event(4, 0)], [event(5, 0)])
    assert [batch async for batch in stop_after(source.read(), 3)] == []
    assert source.closed
