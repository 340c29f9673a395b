"""What a tool shows while it runs, as events."""

from typing import Literal

from agent_server.events import Emit, ToolCallOutput, ToolCallProgress
from agent_server.redaction import Redactor, StreamRedactor
from agent_server.sandbox import Output, Progress


class ToolOutput:
    """Emits what one call shows; secrets are replaced even where a chunk splits one."""

    def __init__(self, *, call_id: str, turn: int | None, emit: Emit, redactor: Redactor) -> None:
        self._turn = turn
        self._call_id = call_id
        self._emit = emit
        self._redactor = redactor
        self._streams = {
            "stdout": StreamRedactor(redactor),
            "stderr": StreamRedactor(redactor),
        }

    async def __call__(self, shown: Output | Progress) -> None:
        """Take one piece of output or progress."""
        if isinstance(shown, Output):
            await self._output(shown.stream, self._streams[shown.stream].feed(shown.text))
            return
        message = None if shown.message is None else self._redactor.text(shown.message)
        await self._emit(
            ToolCallProgress(
                turn=self._turn,
                call_id=self._call_id,
                progress=shown.done,
                total=shown.total,
                message=message,
            )
        )

    async def finish(self) -> None:
        """Emit what was held back: nothing follows it."""
        await self._output("stdout", self._streams["stdout"].finish())
        await self._output("stderr", self._streams["stderr"].finish())

    async def _output(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        if text:
            await self._emit(
                ToolCallOutput(turn=self._turn, call_id=self._call_id, stream=stream, text=text)
            )
