"""Replacing known secrets in text before it is stored, sent or shown to the model."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

MIN_SECRET_CHARS: Final = 6
"""Shorter values are not replaced: they would turn ordinary text into noise."""


class Redactor:
    """Replaces the exact and encoded forms of the secrets it was made with.

    Forms: as it is, URL-quoted, hexadecimal, and base64 (standard and URL-safe, unpadded too).
    The replacement names the secret: ``[redacted WEATHER_KEY]``.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        for name, value in secrets.items():
            if len(value) >= MIN_SECRET_CHARS:
                self._names.update(dict.fromkeys(_forms(value), name))
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = (
            re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        )
        self._longest = len(longest_first[0]) if longest_first else 0

    def text(self, text: str) -> str:
        """Return ``text`` with every secret replaced."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: f"[redacted {self._names[match.group()]}]", text)

    def json(self, value: Any) -> Any:
        """Return a JSON value with every secret in its strings and keys replaced."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.json(item) for item in value]
            case dict():
                return {self.text(key): self.json(item) for key, item in value.items()}
            case _:
                return value

    def held_back(self, text: str) -> int:
        """Return how many characters at the end of ``text`` might begin a secret."""
        start = max(0, len(text) - self._longest + 1)
        for index in range(start, len(text)):
            tail = text[index:]
            if any(form.startswith(tail) for form in self._names):
                return len(tail)
        return 0


class StreamRedactor:
    """Redacts text that comes in pieces: holds back a tail that might begin a secret."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._tail = ""

    def feed(self, text: str) -> str:
        """Return what may be shown after ``text`` has come."""
        text = self._redactor.text(self._tail + text)
        kept = self._redactor.held_back(text)
        self._tail = text[len(text) - kept :]
        return text[: len(text) - kept]

    def finish(self) -> str:
        """Return the tail: nothing follows it."""
        tail, self._tail = self._tail, ""
        return tail


def _forms(value: str) -> set[str]:
    raw = value.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    unpadded = {form.rstrip("=") for form in encoded}
    return {value, quote(value, safe=""), raw.hex(), *encoded, *unpadded}
