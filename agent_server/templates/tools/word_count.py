"""A tool is a function with type hints and a docstring: the model reads both."""

from agent_server import tool


@tool(effects="none", timeout_s=10, memory_mb=256)
def word_count(text: str, unique: bool = False) -> dict[str, int]:
    """Count the words of a text.

    Args:
        text: The text to count in.
        unique: Count each distinct word once.
    """
    words = text.lower().split()
    return {"words": len(set(words) if unique else words)}
