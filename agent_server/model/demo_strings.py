"""Strings for a parameter, found in a text by the parameter's name and format."""

import re
from typing import Final

from agent_server.messages import JsonObject
from agent_server.model.demo_sample import EXPRESSIONS, PLACE_NAMES, SAMPLES, ZONE_NAMES
from agent_server.model.demo_words import ZONES, arithmetic, city, dates, stems, words

_TEXT_NAMES: Final = frozenset(
    {"body", "content", "document", "input", "message", "note", "paragraph", "phrase", "prompt"}
    | {"query", "question", "sentence", "source", "string", "subject", "text", "title", "topic"}
    | {"description", "name", "reason", "summary", "value", "item", "what"}
)
_FORMATS: Final = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "uri": re.compile(r"https?://[^\s\"'<>]+"),
    "path": re.compile(r"(?<!\S)[~.]?/?[\w-]+(?:/[\w.-]+|\.[a-z]{2,4})+"),
}
_ADDRESSEE: Final = re.compile(r"\bto\s+\S{1,200}@\S{1,200}\s?")
_OBJECT: Final = re.compile(
    r":\s+(?P<colon>.+)$|\b(?:of|in|for|about|saying|says|on|to|called|named)\s+(?P<rest>.+)$",
    re.IGNORECASE | re.DOTALL,
)


def find_special(schema: JsonObject, name: str, text: str) -> str | None:
    """Find what has a form of its own: calculations, places, addresses, dates."""
    parts, form = set(words(name)), str(schema.get("format") or "")
    if parts & EXPRESSIONS:
        return arithmetic(text)
    if parts & ZONE_NAMES or name.lower() == "time_zone":
        return _zone(text)
    if parts & PLACE_NAMES:
        known = city(text)
        return known.title() if known else _capitalised(text)
    if form.startswith("date") or parts & {"date", "day"}:
        return next(iter(dates(text)), None)
    if _is_address(schema):
        form = "email"
    for kind, pattern in _FORMATS.items():
        if form == kind or kind in parts or (kind == "uri" and parts & {"url", "link"}):
            match = pattern.search(text)
            return match[0].rstrip(".,;") if match else None
    return None


def find_named(schema: JsonObject, name: str, text: str) -> str | None:
    """Find ``<name> is <value>``; just ``<name> <value>`` where an identifier is asked for."""
    spoken = re.escape(name.replace("_", " "))
    link = "?" if "pattern" in schema else ""
    pattern = rf"\b{spoken}\s?(?:=|:|\bis\b|\bnamed\b|\bcalled\b){link}\s?([^\s,;.?]+)"
    match = re.search(pattern, text, re.IGNORECASE)
    return match[1] if match else None


def may_be_prose(schema: JsonObject, name: str) -> bool:
    """Whether any words will do: no special form, or a name that asks for text."""
    parts = set(words(name))
    if parts & (EXPRESSIONS | ZONE_NAMES) or schema.get("format") or _is_address(schema):
        return False
    return bool(parts & _TEXT_NAMES) or not parts & (PLACE_NAMES | SAMPLES.keys())


def _is_address(schema: JsonObject) -> bool:
    return "@" in str(schema.get("pattern") or "")


def object_of(text: str, known: set[str]) -> str | None:
    """Return what a clause is about: what follows a colon or preposition, else its last words."""
    clause = _ADDRESSEE.sub(" ", text).strip().rstrip("?!").strip()
    match = _OBJECT.search(clause)
    if match:
        return (match["colon"] or match["rest"]).strip() or None
    pieces = clause.split()
    while pieces and (not stems(pieces[0]) or stems(pieces[0]) & known):
        pieces.pop(0)
    return " ".join(pieces) or None


def _capitalised(text: str) -> str | None:
    """Return a name after a preposition, such as ``in Port Louis``."""
    match = re.search(r"\b(?:in|at|for|of|from|to)\s((?:[A-Z][\w'-]*\s?)+)", text)
    return match[1].strip() if match else None


def _zone(text: str) -> str | None:
    given = re.search(r"\b(?:[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+|UTC|GMT)\b", text)
    if given:
        return given[0]
    known = city(text)
    return ZONES[known] if known else _capitalised(text)
