"""The smallest useful tool: a typed function, a docstring, one decorator."""

import re

from agent_server import tool


@tool(effects="none", timeout_s=10, memory_mb=256)
def word_count(text: str, unique: bool = False) -> dict[str, int]:
    """Count the words of a text.

    Args:
        text: The text to count in.
        unique: Count each distinct word once.
    """
    words = re.findall(r"\w+(?:['\u2019-]\w+)*", text.lower())
    return {"words": len(set(words) if unique else words), "characters": len(text)}
