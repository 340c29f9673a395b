"""Docstrings of tools: the description the model reads, and one for each parameter.

Google style (``Args:``) is ours; reST, NumPy and Epydoc fields are understood too.
"""

from dataclasses import dataclass, field

import docstring_parser
from docstring_parser import DocstringParam, ParseError

__all__ = ["Documentation", "read_docstring"]


@dataclass(frozen=True, slots=True)
class Documentation:
    """What a docstring says of the function and of its parameters."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> Documentation:
    """Parse a docstring; one that follows no known style is all description."""
    if not text:
        return Documentation()
    try:
        parsed = docstring_parser.parse(text)
    except ParseError:
        return Documentation(description=text.strip())
    parameters = {
        item.arg_name.lstrip("*"): item.description or ""
        for item in parsed.meta
        if isinstance(item, DocstringParam) and item.args[0] != "attribute"
    }
    return Documentation((parsed.description or "").strip(), parameters)
