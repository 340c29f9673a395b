"""The fenced blocks and links of Markdown files, and the rule by which shown output is compared."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^( *)(`{3,})(.*)$")
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ +(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it begins, its info string, its text."""

    file: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def read_blocks(file: Path) -> Iterator[Block]:
    """Yield a file's fenced blocks in order.

    Raises:
        ValueError: a fence is never closed.
    """
    lines = iter(enumerate(file.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        opened = _FENCE.match(line)
        if not opened:
            continue
        indent, fence, info = opened.groups()
        inside: list[str] = []
        for _, text in lines:
            if text.strip() == fence:
                break
            inside.append(text.removeprefix(indent))
        else:
            raise ValueError(f"{file}:{number}: the block is never closed")
        yield Block(file, number, info.strip(), "\n".join(inside) + "\n")


def read_links(file: Path) -> list[tuple[str, str]]:
    """Return a file's links as text and target, those within blocks left out."""
    text = file.read_text(encoding="utf-8")
    for block in read_blocks(file):
        text = text.replace(block.text, "")
    return _LINK.findall(text)


def read_anchors(file: Path) -> set[str]:
    """Return the anchors of a file's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(file.read_text(encoding="utf-8"))
    }


_VOLATILE: Final = [
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\b(run|thread|req|call)_[0-9A-Z]{26}\b"), r"\1_ID"),
    (re.compile(r"\btoolu_demo_[0-9a-f]+_\d+"), "toolu_ID"),
    (re.compile(r"\bagent_tools_[0-9a-f]+"), "agent_tools_ID"),
    (re.compile(r"https?://(127\.0\.0\.1|localhost):\d+"), "http://localhost"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[\d.]+(Z|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r'("\w*(?:seq|ts|_ms|_kb|_tokens|_hash|deadline_s)": ?)[\d.]+'), r"\g<1>0"),
    (re.compile(r"^id: \d+$", re.MULTILINE), "id: 0"),
    (re.compile(r"\b[\d,]+ in, [\d,]+ out\b"), "0 in, 0 out"),
    (re.compile(r"\b[\d.]+ (ms|s)\b"), r"0 \1"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "HASH"),
]
"""What differs from run to run: ids, times, ports, durations, numbers of events and tokens."""


def settle(text: str) -> list[str]:
    """Return the lines of an output with what differs from run to run replaced, blank ones gone."""
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def fits(shown: str, printed: str) -> bool:
    """Whether ``shown`` is what was printed. A line ``…`` is any lines, one inside is any text."""
    wanted, got = settle(shown), settle(printed)

    @cache
    def rest_fits(at: int, place: int) -> bool:
        if at == len(wanted):
            return place == len(got)
        if wanted[at] == "…":
            return any(rest_fits(at + 1, later) for later in range(place, len(got) + 1))
        return (
            place < len(got) and _is_line(wanted[at], got[place]) and rest_fits(at + 1, place + 1)
        )

    return rest_fits(0, 0)


def _is_line(wanted: str, got: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
    return re.fullmatch(pattern, got) is not None


def is_part(shown: object, printed: object) -> bool:
    """Whether JSON that is shown is what was printed: fields may be left out, "…" is anything."""
    if shown == "…":
        return True
    if isinstance(shown, dict):
        return isinstance(printed, dict) and all(
            key in printed and is_part(value, printed[key]) for key, value in shown.items()
        )
    if isinstance(shown, list):
        if not isinstance(printed, list):
            return False
        if shown and shown[-1] == "…":
            shown = shown[:-1]
            printed = printed[: len(shown)]
        return len(shown) == len(printed) and all(map(is_part, shown, printed))
    if isinstance(shown, str):
        return isinstance(printed, str) and fits(shown, printed)
    return type(shown) is type(printed) and shown == printed
