import json
import sqlite3
from pathlib import Path

from agent_server.agents import RunSpec
from agent_server.messages import repair_history
from agent_server.model import ModelRequest
from agent_server.model.request import request_sha256
from agent_server.model.scripted import call, error, text
from agent_server.store.sql import open_sql_store
from agent_server.transcript import read_transcript
from tests.interaction.harness import Serve


async def test_every_request_can_be_rebuilt_from_rows_with_the_same_hash(
    serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "runs.db"
    async with open_sql_store(path) as store:
        server = await serve(
            [text("let me"), call("word_count", {"text": "a b"}), call("broken")],
            [text("once"), error()],
            "all done",
            store=store,
        )
        record = await server.run("count", max_tokens=77, model_params={"temperature": 0.5})
        events = [
            event
            for event in await store.read_events(record["id"], limit=10_000)
            if event.type in {"run.created", "turn.completed", "tool_result.completed"}
            or event.type == "tool_result.failed"
        ]
        row = await store.get_run("default", record["id"])
    spec = RunSpec.model_validate(row.spec)
    attempts = (
        sqlite3.connect(path)
        .execute("SELECT turn, request_sha256, params FROM attempts ORDER BY turn, attempt")
        .fetchall()
    )
    assert [turn for turn, _sha256, _params in attempts] == [1, 2, 2]
    for turn, sha256, params in attempts:
        before = [event for event in events if event.turn is None or event.turn < turn]
        messages, _repairs = repair_history(read_transcript(before).messages)
        given = json.loads(params)
        request = ModelRequest(
            model=spec.model,
            max_tokens=given.pop("max_tokens"),
            messages=messages,
            system=spec.system,
            tools=spec.tools,
            params=given,
        )
        assert request_sha256(request) == sha256
