"""The event-stream decoder: framing, split anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_server.model.sse import SseDecoder, SseEvent, SseTooLarge


def decode(*chunks: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"event: a\ndata: {}\n\n", [SseEvent(b"a", b"{}")]),
        (b"event:a\ndata:{}\n\n", [SseEvent(b"a", b"{}")]),
        (b"data: {}\nevent: a\n\n", [SseEvent(b"a", b"{}")]),
        (b"data: 1\ndata: 2\n\n", [SseEvent(b"", b"1\n2")]),
        (b"event: a\ndata: 1\ndata: 2\n\n", [SseEvent(b"a", b"1\n2")]),
        (b"event: a\r\ndata: {}\r\n\r\n", [SseEvent(b"a", b"{}")]),
        (b"event: a\rdata: {}\r\r", [SseEvent(b"a", b"{}")]),
        (b"event: a\r\ndata: 1\rdata: 2\n\r\n", [SseEvent(b"a", b"1\n2")]),
        (b": ping\n\nevent: a\ndata: {}\n\n", [SseEvent(b"a", b"{}")]),
        (b"event: a\n: why\ndata: {}\n\n", [SseEvent(b"a", b"{}")]),
        (b"event: a\n\ndata: {}\n\n", [SseEvent(b"", b"{}")]),
        (b"\n\n\nevent: a\ndata: {}\n\n\n\n", [SseEvent(b"a", b"{}")]),
        (b"\xef\xbb\xbfevent: a\ndata: {}\n\n", [SseEvent(b"a", b"{}")]),
        (b"id: 7\nretry: 10\nevent: a\ndata\n\n", [SseEvent(b"a", b"")]),
        (b"event: a\ndata:  two spaces\n\n", [SseEvent(b"a", b" two spaces")]),
        (b"event: a\ndata: {}\n", []),
        (b"event: a\n\n", []),
        (b"", []),
    ],
)
def test_events_are_framed_as_the_standard_says_however_they_arrive(
    data: bytes, expected: list[SseEvent]
) -> None:
    assert decode(data) == expected
    assert decode(*one_by_one(data)) == expected


LINES = st.sampled_from(
    [b"event: a", b"data: {}", b"data:x", b"", b": note", b"id: 1", b"data", b"event", b"\xc3\xa9"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=30), st.lists(st.integers(0, 300), max_size=12))
def test_any_chunking_gives_the_same_events(
    lines: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(line + end for line, end in lines)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    chunks = [data[a:b] for a, b in pairwise(places)]
    assert decode(*chunks) == decode(data) == decode(*one_by_one(data))


@pytest.mark.parametrize(
    "chunks",
    [
        [b"event: a\ndata: " + b"x" * 101 + b"\n\n"],
        [b"event: a\ndata: ", b"x" * 101, b"\n\n"],
        [b"data: " + b"x" * 60 + b"\n", b"data: " + b"x" * 60 + b"\n"],
        [b"x" * 100, b"x" * 100],
    ],
)
def test_an_event_over_the_limit_is_refused(chunks: list[bytes]) -> None:
    decoder = SseDecoder(max_event_bytes=100)

    def feed() -> None:
        for chunk in chunks:
            decoder.feed(chunk)

    with pytest.raises(SseTooLarge):
        feed()


def test_an_event_at_the_limit_passes() -> None:
    decoder = SseDecoder(max_event_bytes=100)
    assert decoder.feed(b"data: " + b"x" * 100) == []
    assert decoder.feed(b"\n\n") == [SseEvent(b"", b"x" * 100)]


def test_a_last_event_without_its_blank_line_is_given_at_the_end() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"event: a\ndata: {}") == []
    assert decoder.flush() == [SseEvent(b"a", b"{}")]
    assert decoder.flush() == []
