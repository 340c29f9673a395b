"""How a run looks in a terminal: text as it comes, one line a tool call, what it cost."""

import time
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydantic_core import to_json
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from agent_server.messages import JsonObject, text_of

ARGUMENTS_WIDTH: Final = 60
RESULT_WIDTH: Final = 100

_ENDINGS: Final = {
    "run.completed": "green",
    "run.incomplete": "yellow",
    "run.failed": "red",
    "run.cancelled": "yellow",
}


@dataclass(slots=True)
class _Call:
    """One tool call on the screen."""

    name: str
    arguments: JsonObject = field(default_factory=dict)
    progress: str = ""
    since_s: float = field(default_factory=time.monotonic)

    @property
    def label(self) -> Text:
        shown = ", ".join(f"{key}={_json(value)}" for key, value in self.arguments.items())
        return Text.assemble((self.name, "bold"), f"({_clip(shown, ARGUMENTS_WIDTH)})")

    def __rich__(self) -> Spinner:
        elapsed = f"{time.monotonic() - self.since_s:.1f} s"
        text = Text.assemble(self.label, ("  " + self.progress, "cyan"), (f"  {elapsed}", "dim"))
        return Spinner("dots", text, style="cyan")


class RunView:
    """Shows the events of one run, in order. Use as a context manager; ``show`` each event.

    On a terminal, running calls have a spinner; elsewhere only finished lines are printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._calls: dict[str, _Call] = {}
        self._running: dict[str, _Call] = {}
        self._live: Live | None = None
        self._mid_line = False
        self.ending: str | None = None
        """The type of the terminal event, once it was shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._stop_spinners()
        self._end_line()

    def show(self, event: JsonObject) -> None:
        """Show one event; unknown types show nothing."""
        kind = event["type"]
        if kind in _ENDINGS:
            self._show_ending(kind, event)
            return
        match kind:
            case "text.delta":
                self._write(event["delta"])
            case "thinking.delta":
                self._write(event["thinking"], style="dim italic")
            case "text.completed" | "thinking.completed":
                self._end_line()
            case "turn.restarted" | "model.retried":
                self._note(f"asked again: {event['reason']}")
            case "run.waiting":
                self._note(f"waiting for: {event['reason']}")
            case "history.repaired":
                self._note("the history was repaired")
            case _:
                self._show_call(kind, event)

    # --- tool calls --------------------------------------------------------------------------

    def _show_call(self, kind: str, event: JsonObject) -> None:
        call_id = event.get("call_id")
        if call_id is None:
            return
        call = self._calls.setdefault(call_id, _Call(event.get("name", "tool")))
        match kind:
            case "tool_call.requested":
                call.arguments = event["input"]
            case "tool_call.running":
                call.since_s = time.monotonic()
                self._running[call_id] = call
                self._update_spinners()
            case "tool_call.progress":
                call.progress = _progress(event)
                self._update_spinners()
            case "tool_call.output":
                self._print_output(event)
            case "tool_result.completed" | "tool_result.failed":
                self._running.pop(call_id, None)
                self._update_spinners()
                self._print_result(call, event)

    def _print_output(self, event: JsonObject) -> None:
        style = "dim red" if event["stream"] == "stderr" else "dim"
        for line in event["text"].splitlines():
            self._line(Text(f"  │ {line}", style=style))

    def _print_result(self, call: _Call, event: JsonObject) -> None:
        duration = event.get("duration_ms")
        took = "" if duration is None else f"  {duration} ms"
        if event["type"] == "tool_result.completed":
            mark, style, outcome = "✓", "green", _result(event)
        else:
            mark, style = "✗", "red"
            outcome = f"{event['kind']}: {event['message']}"
        outcome = _clip(outcome, RESULT_WIDTH)
        self._line(Text.assemble((f"{mark} ", style), call.label, f" → {outcome}", (took, "dim")))

    def _update_spinners(self) -> None:
        if not self._console.is_terminal:
            return
        if not self._running:
            self._stop_spinners()
            return
        self._end_line()
        rows = Group(*self._running.values())
        if self._live is None:
            self._live = Live(rows, console=self._console, transient=True, refresh_per_second=10)
            self._live.start()
        else:
            self._live.update(rows)

    def _stop_spinners(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    # --- lines -------------------------------------------------------------------------------

    def _show_ending(self, kind: str, event: JsonObject) -> None:
        self._stop_spinners()
        self.ending = kind
        status = kind.removeprefix("run.")
        why = _reason(event)
        usage = event["usage"]
        facts = [
            f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out",
            _count(usage["model_calls"], "model call"),
            _count(usage["tool_calls"], "tool call"),
            f"{event['duration_ms'] / 1000:.1f} s",
        ]
        if event["cost_usd"] is not None:
            facts.insert(1, f"${event['cost_usd']:.4f}")
        self._line(
            Text.assemble(
                (f"{status}{': ' if why else ''}{why}", _ENDINGS[kind]),
                (f"  {' · '.join(facts)} · {event['run_id']}", "dim"),
            )
        )

    def _write(self, text: str, style: str = "") -> None:
        self._stop_spinners()
        self._console.print(Text(text, style=style), end="", soft_wrap=True, highlight=False)
        self._mid_line = not text.endswith("\n")

    def _note(self, text: str) -> None:
        self._line(Text(f"  ({text})", style="dim"))

    def _line(self, text: Text) -> None:
        self._end_line()
        self._console.print(text, soft_wrap=True, highlight=False)

    def _end_line(self) -> None:
        if self._mid_line:
            self._console.print()
            self._mid_line = False


def _reason(event: JsonObject) -> str:
    """Why a run ended as it did, where its status does not say it."""
    match event["type"]:
        case "run.incomplete":
            return str(event["reason"])
        case "run.failed":
            return str(event["error"]["message"])
        case "run.cancelled":
            return f"by {event['by']}"
    return ""


def _progress(event: JsonObject) -> str:
    total = event["total"]
    done = f"{event['progress']:g}" + (f"/{total:g}" if total else "")
    return f"{done} {event['message'] or ''}".strip()


def _result(event: JsonObject) -> str:
    if event["output"] is not None:
        return _json(event["output"])
    text = text_of(event["content"])
    others = [block["type"] for block in event["content"] if block["type"] != "text"]
    return " ".join([text, *(f"[{kind}]" for kind in others)]).strip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _json(value: Any) -> str:
    return to_json(value).decode()


def _clip(text: str, width: int) -> str:
    """Make ``text`` one line of at most ``width`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
