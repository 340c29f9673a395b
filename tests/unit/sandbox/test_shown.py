"""What a tool shows: printed text by its cap, progress thinned out."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_server.sandbox import Output
from agent_server.sandbox.output import FloodError, PrintedStream
from agent_server.sandbox.thinning import Thinning


@given(st.text(max_size=200), st.integers(1, 9))
def test_text_comes_out_whole_however_its_bytes_are_chopped(text: str, chop: int) -> None:
    stream = PrintedStream("stdout", cap_kb=64)
    data = text.encode("utf-8", errors="replace")
    pieces = [stream.feed(data[at : at + chop]) for at in range(0, len(data), chop)]
    pieces.append(stream.finish())
    shown = "".join(piece.text for piece in pieces if piece is not None)
    assert shown == data.decode().replace("\x00", "\ufffd")


def test_a_piece_that_ends_within_a_character_shows_nothing_yet() -> None:
    stream = PrintedStream("stderr", cap_kb=1)
    assert stream.feed(b"\xe2\x9c") is None
    assert stream.feed(b"\x93") == Output("stderr", "✓")


def test_output_of_exactly_the_cap_is_shown_without_a_word() -> None:
    stream = PrintedStream("stdout", cap_kb=1)
    assert stream.feed(b"x" * 1024) == Output("stdout", "x" * 1024)
    assert stream.finish() is None


def test_the_first_byte_over_the_cap_is_told_once() -> None:
    stream = PrintedStream("stdout", cap_kb=1)
    stream.feed(b"x" * 1024)
    told = stream.feed(b"y")
    assert told == Output("stdout", "\n[stdout is not shown beyond 1 KiB]\n")
    assert stream.feed(b"z" * 100) is None
    assert stream.finish() is None


def test_a_flood_is_told_by_its_stream_and_cap() -> None:
    stream = PrintedStream("stderr", cap_kb=2)
    stream.feed(b"x" * 16 * 2048)
    with pytest.raises(FloodError, match="16 times its 2 KiB to stderr"):
        stream.feed(b"x")


def test_the_first_hundred_reports_are_shown_as_they_come() -> None:
    thinning = Thinning(clock=lambda: 0.0)
    assert [thinning.admits() for _ in range(102)] == [True] * 100 + [False] * 2


def test_reports_over_an_hour_are_a_thousand_at_most_and_never_cease_early() -> None:
    ticks = count()
    thinning = Thinning(clock=lambda: next(ticks) * 0.01)
    shown_at = [at for at in range(360_000) if thinning.admits()]
    assert 900 < len(shown_at) <= 1000
    assert shown_at[-1] > 150_000  # 25 minutes
