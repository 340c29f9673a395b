"""What the store keeps of an attempt at the model besides its events: its exact bytes and facts."""

import time
from dataclasses import dataclass, field
from typing import Literal

from agent_server.attempt import Attempt
from agent_server.events import RawAttempt
from agent_server.model import ModelRequest, ModelStream
from agent_server.model.request import request_sha256


@dataclass(slots=True)
class AttemptRecorder:
    """What the store keeps of an attempt besides its events."""

    attempt: Attempt
    request: ModelRequest
    stream: ModelStream | None = None
    started_at: int = field(default_factory=lambda: time.time_ns() // 1000)

    def raw(
        self, status: Literal["completed", "failed", "cancelled"], error_code: str | None
    ) -> RawAttempt:
        """Make the record of the attempt as it stands."""
        return RawAttempt(
            turn=self.attempt.turn,
            attempt=self.attempt.number,
            status=status,
            request_sha256=request_sha256(self.request),
            params={"max_tokens": self.request.max_tokens, **self.request.params},
            response=b"" if self.stream is None else self.stream.raw,
            upstream_request_id=None if self.stream is None else self.stream.request_id,
            error_code=error_code,
            started_at=self.started_at,
            finished_at=time.time_ns() // 1000,
        )
