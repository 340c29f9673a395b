from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_server.errors import StoreError
from agent_server.events import (
    AnyEvent,
    RunWaiting,
    TextCompleted,
    TextDelta,
    ThinkingCompleted,
    ThinkingDelta,
    TurnRestarted,
    TurnStarted,
    encode_data,
)
from agent_server.store import refs
from agent_server.store.refs import (
    DeltaMemory,
    Ref,
    delta_interior,
    read_refs,
    splice,
    write_refs,
)
from tests.unit.store.store_samples import completed, text_turn, turn_completed

TEXT = 'She said: "Grüße \\o/" \n and 😀 left, as people do in the end.'


def store_all(
    memory: DeltaMemory, events: Sequence[AnyEvent], *, first: int = 1
) -> list[tuple[bytes, list[Ref]]]:
    return [
        memory.store("run_1", seq, event, encode_data(event))
        for seq, event in enumerate(events, first)
    ]


def rebuild(stored: Sequence[tuple[bytes, list[Ref]]], first: int = 1) -> list[bytes]:
    """Put every value back, from the stored bytes alone."""

    def interior(ref: Ref) -> bytes:
        deltas = [data for data, _ in stored[ref.first - first : ref.last - first + 1]]
        return b"".join(delta_interior(data, ref.block) or b"" for data in deltas)

    return [
        splice(data, read_refs(column), interior) if (column := write_refs(found)) else data
        for data, found in stored
    ]


def test_a_text_is_kept_once_and_comes_back_four_times() -> None:
    events = [*text_turn(TEXT), completed(TEXT)]
    stored = store_all(DeltaMemory(), events)
    assert rebuild(stored) == [encode_data(event) for event in events]
    inside = encode_data(TextDelta(block="b", delta=TEXT))[20:-2]
    assert sum(inside in data for data, _ in stored) == 0
    assert [len(found) for _, found in stored if found] == [1, 1, 1]


def test_the_run_s_output_refers_to_every_text_of_its_last_turn() -> None:
    halves = [TEXT, TEXT[::-1]]
    events: list[AnyEvent] = [TurnStarted(turn=1, model="m", attempt=1)]
    for index, text in enumerate(halves):
        block = f"b1.1.{index}"
        events += [
            ThinkingDelta(turn=1, block=f"{block}t", thinking="hm " * 30),
            TextDelta(turn=1, block=block, delta=text),
            TextCompleted(turn=1, block=block, text=text),
        ]
    events.append(turn_completed([{"type": "text", "text": text} for text in halves]))
    events.append(completed("".join(halves)))
    stored = store_all(DeltaMemory(), events)
    assert rebuild(stored) == [encode_data(event) for event in events]
    assert [ref.block for ref in stored[-1][1]] == ["b1.1.0", "b1.1.1"]


def test_thinking_is_kept_by_reference_too() -> None:
    events: list[AnyEvent] = [
        ThinkingDelta(turn=1, block="b1.1.0", thinking=TEXT),
        ThinkingCompleted(turn=1, block="b1.1.0", text=TEXT),
        turn_completed([{"type": "thinking", "thinking": TEXT, "signature": "c2ln"}]),
    ]
    stored = store_all(DeltaMemory(), events)
    assert [len(found) for _, found in stored] == [0, 1, 1]
    assert rebuild(stored) == [encode_data(event) for event in events]


def test_a_text_that_is_not_its_deltas_stays_inline() -> None:
    events = [*text_turn(TEXT)[:-2], TextCompleted(turn=1, block="b1.1.0", text=TEXT + "!")]
    data, found = store_all(DeltaMemory(), events)[-1]
    assert (data, found) == (encode_data(events[-1]), [])


def test_without_memory_everything_stays_inline() -> None:
    memory = DeltaMemory()
    events = text_turn(TEXT)
    store_all(memory, events[:4])
    memory.forget("run_1")
    late = store_all(memory, events[4:], first=5)
    assert rebuild(late, first=5) == [encode_data(event) for event in events[4:]]


def test_memory_ends_with_the_turn_the_wait_and_the_run() -> None:
    for ending in (
        completed(TEXT),
        TurnRestarted(turn=1, attempt=2, reason="upstream_error"),
        TurnStarted(turn=2, model="m", attempt=1),
        RunWaiting(reason="approval", approvals=[]),
    ):
        memory = DeltaMemory()
        store_all(memory, [*text_turn(TEXT), ending])
        assert (len(memory), memory.size) == (0, 0)


def test_memory_is_bounded_for_a_run() -> None:
    memory = DeltaMemory()
    piece = "x" * 65_536
    events: list[AnyEvent] = [
        TextDelta(turn=1, block="b1.1.0", delta=piece) for _ in range(refs.RUN_BYTES // 65_536 + 2)
    ]
    whole = TextCompleted(turn=1, block="b1.1.0", text=piece * len(events))
    stored = store_all(memory, [*events, whole])
    assert memory.size <= refs.RUN_BYTES
    assert stored[-1] == (encode_data(whole), [])


def test_a_reference_to_missing_deltas_is_an_error() -> None:
    stored = store_all(DeltaMemory(), text_turn(TEXT))
    data, found = stored[-2]
    with pytest.raises(StoreError, match="not complete"):
        splice(data, found, lambda _ref: b"")


pieces = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8)


@given(
    blocks=st.lists(st.tuples(st.booleans(), pieces), max_size=4),
    tail=st.sampled_from(["", '"', "\\", "x"]),
    forget_at=st.integers(0, 40),
)
def test_whatever_was_said_comes_back_byte_for_byte(
    blocks: list[tuple[bool, list[str]]], tail: str, forget_at: int
) -> None:
    events: list[AnyEvent] = [TurnStarted(turn=1, model="m", attempt=1)]
    content = []
    for index, (is_text, parts) in enumerate(blocks):
        block, text = f"b1.1.{index}", "".join(parts) + tail
        events += [
            TextDelta(turn=1, block=block, delta=part)
            if is_text
            else ThinkingDelta(turn=1, block=block, thinking=part)
            for part in parts
        ]
        if is_text:
            events.append(TextCompleted(turn=1, block=block, text=text))
            content.append({"type": "text", "text": text})
        else:
            events.append(ThinkingCompleted(turn=1, block=block, text=text))
            content.append({"type": "thinking", "thinking": text, "signature": text})
    events.append(turn_completed(content))
    events.append(completed("".join(block["text"] for block in content if "text" in block)))
    memory, stored = DeltaMemory(), []
    for seq, event in enumerate(events, 1):
        if seq == forget_at:
            memory.forget("run_1")
        stored.append(memory.store("run_1", seq, event, encode_data(event)))
    assert rebuild(stored) == [encode_data(event) for event in events]
