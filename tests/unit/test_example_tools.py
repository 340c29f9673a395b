"""The example tools, as their authors would test them: called as the plain functions they are."""

import asyncio
import base64
import hashlib
import hmac
import json
import struct
import zlib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from email import message_from_bytes
from pathlib import Path
from typing import Any, cast

import pytest

from agent_server import Tool, ToolContext, ToolError
from agent_server.tooling.importing import forget_tool_files
from agent_server.tooling.invoke import ArgumentError, invoke, render_result
from agent_server.tooling.loader import load_tools
from agent_server.tooling.registry import ToolRegistry

FOLDER = Path(__file__).parents[2] / "tools"
OUTPUT_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, Tool[..., Any]]]:
    yield {tool.spec.name: tool for tool in load_tools([FOLDER], entry_points=False)}
    forget_tool_files(FOLDER)


def context(**fields: Any) -> ToolContext:
    return ToolContext(
        **{"run_id": "r", "call_id": "call_1", "deadline": 0.0, "idempotency_key": "key", **fields}
    )


def test_together_they_show_every_feature(tools: dict[str, Tool[..., Any]]) -> None:
    specs = [tool.spec for tool in tools.values()]
    assert len(specs) >= 8
    assert {spec.effects for spec in specs} == {"none", "idempotent", "once"}
    assert {spec.isolation for spec in specs} == {"process", "inline"}
    assert {"never", "always"} <= {spec.approval for spec in specs}
    assert any(spec.secrets for spec in specs)
    assert any(spec.is_async for spec in specs)
    assert any(spec.takes_context for spec in specs)
    assert any("input_examples" in spec.param_fields for spec in specs)
    assert any("$defs" in spec.input_schema for spec in specs)


def test_they_register_and_every_parameter_is_described(tools: dict[str, Tool[..., Any]]) -> None:
    registry = ToolRegistry(tool.spec for tool in tools.values())
    for spec in registry:
        assert spec.description
        assert all(
            property_["description"] for property_ in spec.input_schema["properties"].values()
        )


def test_every_example_in_a_schema_fits_it(tools: dict[str, Tool[..., Any]]) -> None:
    registry = ToolRegistry(tool.spec for tool in tools.values())
    for spec in registry:
        for name, property_ in spec.input_schema["properties"].items():
            for example in property_.get("examples", []):
                faults = registry.validate(spec.name, {name: example})
                assert [fault for fault in faults if fault.path == f"/{name}"] == []


# --- calculator ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("17% of 2340", 397.8),
        ("17 percent of 2,340", 397.8),
        ("0.17*2340", 397.8),
        ("20% of 50% of 10", 1),
        ("100 * 15%", 15),
        ("17 % 5", 2),
        ("0.1 + 0.2", 0.3),
        ("(3 + 4) * 2.5", 17.5),
        ("-2 ^ 2", -4),
        ("2 ** 100", 2**100),
        ("7 // 2 + 6 / 3", 5),
        ("sqrt(2) ** 2", 2),
        ("round(2.5 \u00d7 pi) \u00f7 2", 4),
        ("ln(e)", 1),
    ],
)
def test_the_calculator_calculates(
    tools: dict[str, Tool[..., Any]], expression: str, result: float
) -> None:
    assert tools["calculator"](expression) == result


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1 / 0", "divides by zero"),
        ("2 +", "is not arithmetic"),
        ("__import__('os')", "is not arithmetic"),
        ("pi.real", "is not arithmetic"),
        ("[1]", "is not arithmetic"),
        ("True", "is not arithmetic"),
        ("'a' * 9", "is not arithmetic"),
        ("9 ** 9 ** 9", "too large"),
        ("9.0 ** 999", "too large"),
        ("1e999", "too large"),
        ("2 ** 3000 / 3", "too large"),
        ("sqrt(-1)", "no real value"),
        ("(" * 100 + "1" + ")" * 100, None),
        ("(" * 190, "is not arithmetic"),
    ],
)
def test_the_calculator_says_what_is_wrong(
    tools: dict[str, Tool[..., Any]], expression: str, words: str | None
) -> None:
    if words is None:
        assert tools["calculator"](expression) == 1
        return
    with pytest.raises(ToolError, match=words):
        tools["calculator"](expression)


# --- clock -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "timezone"),
    [
        ("Tokyo", "Asia/Tokyo"),
        ("new york", "America/New_York"),
        (" San  Francisco ", "America/Los_Angeles"),
        ("europe/berlin", "Europe/Berlin"),
        ("UTC", "UTC"),
        ("Mumbai", "Asia/Kolkata"),
    ],
)
def test_the_clock_knows_cities_and_timezones(
    tools: dict[str, Tool[..., Any]], place: str, timezone: str
) -> None:
    told = tools["current_time"](place)
    assert told.timezone == timezone
    time = datetime.fromisoformat(told.time)
    assert time.strftime("%z") == told.utc_offset
    assert time.strftime("%A") == told.weekday


def test_the_clock_names_what_was_meant(tools: dict[str, Tool[..., Any]]) -> None:
    with pytest.raises(ToolError, match=r"'Tokio': did you mean Tokyo\?"):
        tools["current_time"]("Tokio")
    with pytest.raises(ToolError, match="name a large city"):
        tools["current_time"]("xyzzyx qq")


# --- the others ------------------------------------------------------------------------------


def test_words_are_counted(tools: dict[str, Tool[..., Any]]) -> None:
    assert tools["word_count"]("The cat's the cat") == {"words": 4, "characters": 17}
    assert tools["word_count"]("The the THE", unique=True)["words"] == 1


def test_expenses_are_added_up_from_json(tools: dict[str, Tool[..., Any]]) -> None:
    tool = tools["expense_report"]
    [example] = tool.spec.param_fields["input_examples"]
    report = cast("Any", invoke(tool, example, context()))
    assert report.total == Decimal("399.5")
    assert report.by_category == {"other": Decimal("89.5"), "lodging": Decimal(310)}
    assert str(report.first_day) == "2026-03-02"
    assert render_result(report, cap_bytes=OUTPUT_BYTES).output["currency"] == "EUR"


def test_expenses_of_the_future_and_of_nothing_are_refused(
    tools: dict[str, Tool[..., Any]],
) -> None:
    expense = {"description": "Moon trip", "amount": 1, "spent_on": "9999-01-01"}
    with pytest.raises(ToolError, match="dated in the future"):
        invoke(tools["expense_report"], {"employee": "Ada", "expenses": [expense]}, context())
    with pytest.raises(ArgumentError) as refused:
        invoke(
            tools["expense_report"],
            {"employee": "Ada", "expenses": [expense | {"amount": -1}]},
            context(),
        )
    assert refused.value.problems[0].path == "/expenses/0/amount"


def test_coffee_is_brewed_in_steps_that_show(
    tools: dict[str, Tool[..., Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[float, float | None, str | None]] = []
    ctx = context(report=lambda *step: steps.append(step))
    answer = tools["brew_coffee"](ctx, cups=2, strength="strong", seconds_a_step=0)
    assert answer == "2 cups of strong coffee, ready in the kitchen."
    assert [done for done, _, _ in steps] == [0, 1, 2, 3, 4]
    assert capsys.readouterr().out.startswith("heating water …\n")


def test_a_chart_is_a_real_png(tools: dict[str, Tool[..., Any]]) -> None:
    values = {f"bar {i}": float(i) for i in range(40)}
    for shown in (values, {"one": 3.0}, {"none": 0.0}):
        rendered = render_result(tools["bar_chart"](shown), cap_bytes=OUTPUT_BYTES)
        legend, image = rendered.content
        assert next(iter(shown)) in legend["text"]
        png = base64.b64decode(image["source"]["data"])
        width, height = struct.unpack(">II", png[16:24])
        assert (png[:8], png[-8:-4]) == (b"\x89PNG\r\n\x1a\n", b"IEND")
        size = struct.unpack(">I", png[33:37])[0]
        assert len(zlib.decompress(png[41 : 41 + size])) == height * (1 + 3 * width)


def test_an_entry_is_booked_once_however_often_the_call_is_run(
    tools: dict[str, Tool[..., Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    book = tools["ledger_entry"]
    first = book("travel", 500, context())
    again = book("travel", 500, context())
    other = book("travel", -200, context(idempotency_key="other"))
    assert (first["booked_now"], again["booked_now"]) == (True, False)
    assert (first["balance_cents"], again["balance_cents"], other["balance_cents"]) == (
        500,
        500,
        300,
    )
    assert len((tmp_path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_an_email_waits_in_the_outbox(
    tools: dict[str, Tool[..., Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    receipt = tools["send_email"](["ada@example.org"], "Hello — hi", "Text", context())
    sent = message_from_bytes((tmp_path / "outbox" / receipt["message"]).read_bytes())
    assert (receipt["status"], receipt["recipients"]) == ("queued", 1)
    assert sent["To"] == "ada@example.org"
    assert tools["send_email"].spec.approval == "always"


def test_an_email_cannot_smuggle_headers(tools: dict[str, Tool[..., Any]]) -> None:
    registry = ToolRegistry([tools["send_email"].spec])
    mail = {"to": ["ada@example.org"], "subject": "a\nBcc: eve@example.org", "body": ""}
    assert [fault.path for fault in registry.validate("send_email", mail)] == ["/subject"]
    mail = {"to": ["ada@example.org, eve@example.org"], "subject": "a", "body": ""}
    assert [fault.path for fault in registry.validate("send_email", mail)] == ["/to/0"]


def test_a_text_is_signed_with_the_secret(tools: dict[str, Tool[..., Any]]) -> None:
    signed = tools["sign_text"]("hello", context(secrets={"SIGNING_KEY": "k"}))
    assert signed["signature"] == hmac.new(b"k", b"hello", hashlib.sha256).hexdigest()
    assert "k" not in json.dumps(signed).replace(signed["signature"], "")
    with pytest.raises(ToolError, match="must set SIGNING_KEY"):
        tools["sign_text"]("hello", context())


async def test_the_timer_waits_and_shows_it(tools: dict[str, Tool[..., Any]]) -> None:
    steps: list[float] = []
    ctx = context(report=lambda done, _total, _message: steps.append(done))
    async with asyncio.timeout(5):
        told = await tools["timer"](0.02, ctx)
    assert told["waited_s"] >= 0.02
    assert steps[0] == 0
    assert steps[-1] == 0.02
