"""The demo model's sentences."""

from typing import Final

from agent_server.model.demo_reply import Wish
from agent_server.model.demo_schema import DemoTool
from agent_server.model.demo_transcript import Done, flatten

WHO: Final = "I am the demo model: scripted, no AI."
REAL: Final = "Set ANTHROPIC_API_KEY and restart to talk to a real model."
COMMANDS: Final[dict[str, str]] = {
    "parallel": "several tool calls at once",
    "error": "a call that fails, and the recovery",
    "slow": "a tool that takes its time",
    "long": "a long answer",
    "thinking": "thinking before the answer",
    "refusal": "a refused request",
    "max_tokens": "an answer cut at its limit",
    "overloaded": "a provider that turns requests away, with our retries",
    "approval": "a call that a person must approve",
}


def introduce(tools: list[DemoTool]) -> str:
    """Say what can be done here: the tools that were given."""
    lines = [WHO]
    if tools:
        lines += ["I can use these tools:", ""]
        lines += [f"- `{tool.name}`: {_first_sentence(tool.description)}" for tool in tools]
        lines += ["", "Ask for one in your own words, or for two at once with “and”."]
    else:
        lines.append("I was given no tools, so I can only talk.")
    return "\n".join([*lines, "", list_commands(), REAL])


def list_commands() -> str:
    """Name the typed commands."""
    listed = "\n".join(f"- `/demo {name}`: {what}" for name, what in COMMANDS.items())
    return f"These commands each show one behaviour:\n\n{listed}\n"


def announce(wishes: list[Wish]) -> str:
    """Say which tools come next."""
    names = list(dict.fromkeys(f"`{wish.tool}`" for wish in wishes))
    if len(wishes) == 1:
        return f"Let me use {names[0]} for that."
    if len(names) == 1:
        return f"Let me call {names[0]} {len(wishes)} times at once."
    return f"Let me ask {', '.join(names[:-1])} and {names[-1]} at the same time."


def announce_next(wishes: list[Wish]) -> str:
    """Say that the next call builds on a result."""
    return f"With that result I can go on: next comes {_names(wishes)}."


def apologise(failed: list[Done], wishes: list[Wish]) -> str:
    """Own up to a failed call and say what comes now."""
    what = " ".join(f"`{call.tool}` failed: {call.result}" for call in failed)
    if not wishes:
        return f"I am sorry, that did not work. {what}"
    return (
        f"I am sorry, that did not work. {what}\n\nLet me try {_names(wishes)} with another input."
    )


def conclude(rounds: list[list[Done]]) -> str:
    """Quote every result."""
    calls = [call for done in rounds for call in done]
    worked = [call for call in calls if not call.is_error]
    failed = [call for call in rounds[-1] if call.is_error]
    lines: list[str] = []
    if len(worked) == 1:
        lines.append(f"`{worked[0].tool}` says: **{worked[0].result or 'nothing'}**")
    elif worked:
        lines += ["Here is what I found:", ""]
        lines += [
            f"- `{call.tool}`{_given(call)}: **{call.result or 'nothing'}**" for call in worked
        ]
    if failed:
        lines += ([""] if lines else []) + [apologise(failed, [])]
    return "\n".join(lines)


def chat(question: str, tools: list[DemoTool], earlier: list[str]) -> str:
    """Answer what no tool is for."""
    lower = question.lower().strip(" !.?")
    if lower in {"hi", "hello", "hey", "good morning", "good evening"}:
        return f"Hello! {WHO} Ask me “what can you do”."
    if earlier and any(word in lower for word in ("before", "earlier", "did i", "remember")):
        return f"Before this you said: “{_shorten(earlier[-1])}” {WHO}"
    said = f"You said: “{_shorten(question)}” " if question else ""
    advice = "None of my tools fits that; ask me “what can you do”." if tools else REAL
    return f"{said}{WHO} {advice}"


def go_on(question: str) -> str:
    """Write a long answer."""
    lines = [f"You asked for a long answer ({_shorten(question)}), so here are forty lines.", ""]
    lines += [
        f"{number}. Line {number} of forty: every piece of this text is an event of its own, "
        "stored before you saw it."
        for number in range(1, 41)
    ]
    return "\n".join(lines)


def _names(wishes: list[Wish]) -> str:
    return " and ".join(dict.fromkeys(f"`{wish.tool}`" for wish in wishes))


def _given(call: Done) -> str:
    given = flatten(call.arguments)
    return f" ({_shorten(given)})" if given else ""


def _shorten(text: str, limit: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def _first_sentence(description: str) -> str:
    line = " ".join(description.split())
    head, stop, _ = line.partition(". ")
    return f"{head}." if stop else line or "no description"
