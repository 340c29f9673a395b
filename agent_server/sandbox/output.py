"""What a tool prints: decoded as it comes, shown up to a cap, and cut off when it floods."""

import codecs
from typing import Final, Literal

from agent_server.sandbox import Output
from agent_server.tooling.text import sanitize_text

FLOOD_FACTOR: Final = 16
"""A tool that prints so many times its cap is stopped."""


class FloodError(Exception):
    """A tool shows far more than it may; the message says of what."""


class PrintedStream:
    """One of a call's two output streams."""

    def __init__(self, name: Literal["stdout", "stderr"], *, cap_kb: int) -> None:
        self.name = name
        self._cap_kb = cap_kb
        self._cap_bytes = cap_kb * 1024
        self._seen_bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, data: bytes) -> Output | None:
        """Take what was read; return what is to be shown of it.

        Raises:
            FloodError: the tool printed 16 times its cap.
        """
        was_cut = self._seen_bytes > self._cap_bytes
        room = max(0, self._cap_bytes - self._seen_bytes)
        self._seen_bytes += len(data)
        if self._seen_bytes > FLOOD_FACTOR * self._cap_bytes:
            raise FloodError(
                f"The tool printed more than {FLOOD_FACTOR} times its {self._cap_kb} KiB "
                f"to {self.name}."
            )
        if was_cut:
            return None
        cut = len(data) > room
        text = self._decoder.decode(data[:room], final=cut)
        if cut:
            text += f"\n[{self.name} is not shown beyond {self._cap_kb} KiB]\n"
        return self._shown(text)

    def finish(self) -> Output | None:
        """Return what is left: the beginning of a character that never came whole."""
        return self._shown(self._decoder.decode(b"", final=True))

    def _shown(self, text: str) -> Output | None:
        return Output(self.name, sanitize_text(text)) if text else None
