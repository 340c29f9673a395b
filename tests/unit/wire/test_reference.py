from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic_core import from_json

from agent_server.events import AnyEvent, RecordedEvent, RunStarted, TextDelta, encode_data
from agent_server.wire import reference
from agent_server.wire.native import EVENT_TYPES

DOCS = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(reference.render_all()))
def test_the_published_files_are_fresh(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == reference.render_all()[name]


def test_the_schema_is_a_json_schema_with_a_branch_for_every_event() -> None:
    schema = reference.render_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert sorted(schema["discriminator"]["mapping"]) == sorted(EVENT_TYPES)
    assert len(schema["oneOf"]) == len(get_args(AnyEvent))


@pytest.mark.parametrize("event", [TextDelta(turn=1, block="b", delta="x"), RunStarted()])
def test_an_event_as_sent_fits_the_schema(event: TextDelta | RunStarted) -> None:
    recorded = RecordedEvent(
        run_id="run_1",
        thread_id="thread_1",
        seq=1,
        ts=5,
        type=event.type,
        turn=event.turn,
        data=encode_data(event),
    )
    sent: dict[str, Any] = from_json(recorded.json)
    schema = reference.render_schema()
    jsonschema.validate(sent, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**sent, "seq": 0}, schema)


def test_the_types_tell_events_apart_by_type() -> None:
    source = reference.render_typescript()
    for name in EVENT_TYPES:
        assert f'type: "{name}";' in source
    assert "export type Event =\n  | RunCreated\n" in source
    assert "  delta: string;" in source
    assert "  turn: number | null;" in source


def test_a_stale_file_is_named_and_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main(["--check"], target=tmp_path) == 1
    assert "events.ts is stale" in capsys.readouterr().err
    assert reference.main([], target=tmp_path) == 0
    assert reference.main(["--check"], target=tmp_path) == 0
