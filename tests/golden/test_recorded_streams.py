"""Every recorded stream of the provider, against an accumulation of its own.

The recordings lie beside the repository and may be absent: then these tests are skipped.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_server.errors import ModelError
from agent_server.model import (
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    ModelItem,
    RawItem,
)
from agent_server.model.parse import ProviderParser

FOLDER = Path(__file__).parents[2].parent / "shared" / "recorded"
RECORDINGS = sorted(FOLDER.glob("*.sse"))
ODD = {"odd_duplicate_message_start.0.sse"}
SOUND = [path for path in RECORDINGS if path.name not in ODD]

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="no recorded streams beside the repository")

JsonObject = dict[str, Any]


def parse(*chunks: bytes) -> list[ModelItem]:
    parser = ProviderParser()
    items = [item for chunk in chunks for item in parser.feed(chunk)]
    return items + parser.finish()


def read_events(data: bytes) -> list[JsonObject]:
    """Read a recording line by line, knowing nothing of the code under test."""
    return [
        json.loads(line.removeprefix("data:"))
        for line in data.decode().splitlines()
        if line.startswith("data:")
    ]


def accumulate(events: list[JsonObject]) -> dict[int, JsonObject]:
    """Put the blocks together the plain way; a block without its stop is left out."""
    blocks: dict[int, JsonObject] = {}
    sources: dict[int, str] = {}
    done: dict[int, JsonObject] = {}
    for event in events:
        index = event.get("index", -1)
        if event["type"] == "content_block_start":
            blocks[index] = event["content_block"]
        elif event["type"] == "content_block_delta":
            apply(blocks[index], event["delta"], index, sources)
        elif event["type"] == "content_block_stop":
            if sources.get(index):
                blocks[index]["input"] = json.loads(sources[index])
            done[index] = blocks[index]
    return done


def apply(block: JsonObject, delta: JsonObject, index: int, sources: dict[int, str]) -> None:
    kind = delta["type"]
    if kind == "input_json_delta":
        sources[index] = sources.get(index, "") + delta["partial_json"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    elif kind == "compaction_delta":
        block["content"] = delta["content"]
    else:
        name = kind.removesuffix("_delta")
        block[name] = block.get(name, "") + delta[name]


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.name)
def test_the_blocks_are_what_the_provider_sent(path: Path) -> None:
    data = path.read_bytes()
    stops = [item for item in parse(data) if isinstance(item, BlockStop)]
    expected = accumulate(read_events(data))
    assert {stop.index: json.dumps(stop.block) for stop in stops} == {
        index: json.dumps(block) for index, block in expected.items()
    }
    assert all(stop.input_error is None for stop in stops)


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.name)
def test_head_end_and_usage_are_what_the_provider_sent(path: Path) -> None:
    events = read_events(path.read_bytes())
    items = parse(path.read_bytes())
    assert items[0] == MessageStart(events[0]["message"])
    assert items[-1] == MessageStop()
    last = [item for item in items if isinstance(item, MessageDelta)][-1]
    sent = [event for event in events if event["type"] == "message_delta"][-1]
    assert last.stop_reason == sent["delta"]["stop_reason"]
    assert last.stop_details == sent["delta"].get("stop_details")
    assert last.usage == {**events[0]["message"]["usage"], **sent["usage"]}


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.name)
def test_nothing_of_a_recording_is_unknown_and_nothing_is_missing(path: Path) -> None:
    items = parse(path.read_bytes())
    events = [event for event in read_events(path.read_bytes()) if event["type"] != "ping"]
    assert not any(isinstance(item, RawItem) for item in items)
    assert len(items) == len(events)
    starts = [event["content_block"] for event in events if "content_block" in event]
    assert [item.block for item in items if isinstance(item, BlockStart)] == starts


def test_a_message_that_starts_twice_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        parse((FOLDER / "odd_duplicate_message_start.0.sse").read_bytes())
    assert caught.value.code == "provider_protocol"


def test_a_call_cut_by_max_tokens_is_no_block() -> None:
    items = parse((FOLDER / "max_tokens_in_tool.0.sse").read_bytes())
    kinds = [item.block["type"] for item in items if isinstance(item, BlockStop)]
    assert kinds == ["text"]


def outcome(*chunks: bytes) -> tuple[list[ModelItem], str | None]:
    """Items and error code, as a reader of the stream sees them."""
    parser = ProviderParser()
    items: list[ModelItem] = []
    try:
        for chunk in chunks:
            items += parser.feed(chunk)
            if parser.failure is not None:
                raise parser.failure
        items += parser.finish()
    except ModelError as error:
        return items, error.code
    return items, None


SMALL = [path for path in RECORDINGS if path.stat().st_size < 8_000]
SLOW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.data_too_large])


@SLOW
@given(st.data())
def test_any_chunking_of_a_recording_gives_the_same_items(data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from(SMALL)).read_bytes()
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=40))
    cuts = [0, *sorted(places), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(cuts)]
    assert outcome(*chunks) == outcome(stream)


@SLOW
@given(st.data())
def test_a_recording_with_damaged_bytes_gives_items_or_a_model_error(data: st.DataObject) -> None:
    stream = bytearray(data.draw(st.sampled_from(SMALL)).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(stream) - 1))
        width = data.draw(st.sampled_from([0, 1, 1, 30]))
        stream[at : at + width] = data.draw(st.binary(max_size=6))
    outcome(bytes(stream))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


def places_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())
    else:
        pairs = list(enumerate(value)) if isinstance(value, list) else []
    return found + [place for key, inner in pairs for place in places_of(inner, (*path, key))]


@SLOW
@given(st.data())
def test_a_recording_with_damaged_fields_gives_items_or_a_model_error(data: st.DataObject) -> None:
    events = read_events(data.draw(st.sampled_from(SMALL)).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        event = data.draw(st.sampled_from(events))
        *path, last = data.draw(st.sampled_from(places_of(event) or [("type",)]))
        holder: Any = event
        for key in path:
            holder = holder[key]
        holder[last] = data.draw(VALUES)
    order = data.draw(st.permutations(events)) if data.draw(st.booleans()) else events
    framed = (f"event: x\ndata: {json.dumps(event)}\n\n".encode() for event in order)
    outcome(b"".join(framed))
