"""Text that every JSON parser, database and provider takes, and names nearest to a mistyped one."""

import difflib
import re
from collections.abc import Iterable

__all__ = ["abridge", "did_you_mean", "is_storable", "json_pointer", "sanitize_text"]

_LONGEST_NAME = 100  # difflib's time grows with the square of it
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def sanitize_text(text: str) -> str:
    """Replace NUL and lone surrogates by U+FFFD: no database or UTF-8 encoder takes them."""
    return _UNSTORABLE.sub("\ufffd", text)


def is_storable(text: str) -> bool:
    """Whether ``text`` holds neither NUL nor lone surrogates."""
    return _UNSTORABLE.search(text) is None


def abridge(text: str, limit: int) -> str:
    """Cut ``text`` to ``limit`` characters, the last an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to ``name``, else nothing."""
    if len(name) > _LONGEST_NAME:
        return ""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def json_pointer(path: Iterable[str | int]) -> str:
    """Write ``path`` as a JSON pointer (RFC 6901); the whole document is the empty string."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
