"""Problem: one reason why an input or a schema was refused."""

from dataclasses import dataclass

__all__ = ["MESSAGE_CHARS", "Problem"]

MESSAGE_CHARS = 300
"""No message is longer: it goes to the model, and must not echo a giant input."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in words, and where: ``path`` is a JSON pointer into the input."""

    path: str
    message: str
