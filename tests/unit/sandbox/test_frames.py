"""Frames: cut out of a stream however it is chopped, and never larger than allowed."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_server.sandbox.frames import (
    FrameError,
    FrameReader,
    OversizeError,
    encode_frame,
    parse_strictly,
    receive_frame,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=5), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_they_are_chopped(
    values: list[object], chop: int
) -> None:
    stream = b"".join(map(encode_frame, values))
    reader = FrameReader(1_000_000)
    bodies = [
        body
        for start in range(0, len(stream), chop)
        for body in reader.feed(stream[start : start + chop])
    ]
    assert [parse_strictly(body) for body in bodies] == values


def test_an_oversized_frame_is_refused_by_its_head_alone() -> None:
    reader = FrameReader(100)
    assert list(reader.feed(struct.pack(">I", 100))) == []
    with pytest.raises(OversizeError, match="101 bytes"):
        list(FrameReader(100).feed(struct.pack(">I", 101)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b"-Infinity", b"1e999", b"[-1e999]", b'{"a":[1E+400]}', b'"\\ud800"'],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        parse_strictly(body)


@pytest.mark.parametrize("body", [b"[" * 300 + b"]" * 300, b"9" * 5000])
def test_what_would_cost_too_much_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        parse_strictly(body)


def test_a_large_but_finite_number_passes() -> None:
    assert parse_strictly(b"[1e308, 1e-999]") == [1e308, 0.0]


def test_nuls_are_replaced_in_values_and_names() -> None:
    assert parse_strictly(b'{"a\\u0000":["\\u0000b"]}') == {"a\ufffd": ["\ufffdb"]}


def test_a_closed_channel_ends_the_waiting_even_within_a_frame() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(encode_frame({"a": 1}) + encode_frame([1, 2, 3])[:-1])
        far.shutdown(socket.SHUT_WR)
        assert receive_frame(near) == {"a": 1}
        assert receive_frame(near) is None
