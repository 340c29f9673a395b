import pytest

from agent_server.errors import InvalidRequest
from agent_server.events import RecordedEvent, RunStarted, TextDelta, encode_data
from agent_server.wire.native import EVENT_TYPES, NativeWire, parse_types


def delta(seq: int, text: str) -> RecordedEvent:
    event = TextDelta(turn=1, block="b1.1.0", delta=text)
    return RecordedEvent(
        run_id="run_1",
        thread_id="thread_1",
        seq=seq,
        ts=1_000,
        type=event.type,
        turn=event.turn,
        data=encode_data(event),
    )


STARTED = RecordedEvent(
    run_id="run_1",
    thread_id="thread_1",
    seq=1,
    ts=1_000,
    type="run.started",
    turn=None,
    data=encode_data(RunStarted()),
)


def test_a_frame_is_id_event_and_data_separated_by_line_feeds() -> None:
    assert NativeWire().encode([delta(5, "Hi")]) == (
        b'id: 5\nevent: text.delta\ndata: {"v":1,"run_id":"run_1","thread_id":"thread_1","seq":5,'
        b'"ts":1000,"type":"text.delta","turn":1,"block":"b1.1.0","delta":"Hi"}\n\n'
    )


def test_a_batch_becomes_one_piece() -> None:
    wire = NativeWire()
    parts = [wire.encode([STARTED]), wire.encode([delta(2, "a")]), wire.encode([delta(3, "b")])]
    assert wire.encode([STARTED, delta(2, "a"), delta(3, "b")]) == b"".join(parts)


def test_text_with_line_breaks_stays_on_one_data_line() -> None:
    frame = NativeWire().encode([delta(2, "a\nb\r\n\u2028c")])
    assert frame.count(b"\n") == 4
    assert b"\r" not in frame


def test_unnamed_frames_have_no_event_line() -> None:
    frame = NativeWire(named=False).encode([delta(5, "Hi")])
    assert frame.startswith(b'id: 5\ndata: {"v":1,')
    assert b"event:" not in frame


def test_a_type_filter_keeps_the_ids_of_what_it_lets_through() -> None:
    frames = NativeWire(types={"text.delta"}).encode([STARTED, delta(2, "a")])
    assert frames == NativeWire().encode([delta(2, "a")])


def test_a_filtered_out_batch_is_no_bytes() -> None:
    assert NativeWire(types={"run.completed"}).encode([STARTED]) == b""


def test_the_stream_begins_with_a_retry_time_and_a_comment() -> None:
    assert NativeWire.head == b"retry: 2000\n: connected\n\n"
    assert NativeWire.farewell.startswith(b": ")
    assert b"retry: 2000\n\n" in NativeWire.farewell
    assert b"id:" not in NativeWire.head + NativeWire.farewell


def test_types_are_read_from_a_comma_list() -> None:
    assert parse_types(None) is None
    assert parse_types("text.delta, run.completed") == frozenset({"text.delta", "run.completed"})


def test_an_unknown_type_is_refused_with_the_nearest_match() -> None:
    with pytest.raises(InvalidRequest, match=r"'text\.delt'.*'text\.delta'") as caught:
        parse_types("text.delt")
    assert caught.value.param == "types"


def test_every_event_type_is_known_once() -> None:
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES)) == 34
