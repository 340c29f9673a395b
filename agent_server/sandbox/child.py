"""The child: one used-once process that serves one tool call and is gone.

The sequence is fixed: descriptors, own process group, scratch folder, the bond with the zygote;
then it parks, all dear work done, until its request comes; then secrets, confinement, the call.
"""

import asyncio
import contextlib
import inspect
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from agent_server.sandbox.confine import (
    confine,
    count_threads,
    forbid_core_dumps,
    name_process,
)
from agent_server.sandbox.failures import describe
from agent_server.sandbox.frames import encode_frame, receive_frame
from agent_server.sandbox.protocol import (
    DETAIL_CHARS,
    ErrorFrame,
    Limits,
    ProgressFrame,
    Request,
    ResultFrame,
    frame_cap_bytes,
    too_large,
)
from agent_server.sandbox.thinning import Thinning
from agent_server.sandbox.warden import adopt_orphans, die_with_parent
from agent_server.tooling.context import ToolContext
from agent_server.tooling.decorator import Tool, tool
from agent_server.tooling.invoke import Rendered, invoke, render_result

CHANNEL: Final = 3
"""The descriptor of the call's channel; 0 is empty, 1 and 2 are the output pipes."""

Tools = Mapping[str, Tool[..., Any]]


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child is born with. The descriptors are the channel, stdout and stderr."""

    descriptors: tuple[int, int, int]
    scratch: Path
    zygote: int
    base_bytes: int
    tools: Tools
    rehearses: bool


def live(birth: Birth) -> NoReturn:
    """Be the child: set up, park, serve the one request, exit. Never returns to the zygote."""
    try:
        channel = _set_up(birth)
        if birth.rehearses:
            _rehearse()
        request: Request | None = receive_frame(channel)
        if request is not None:
            _serve(request, birth, channel)
    except BaseException:  # noqa: BLE001 the process ends here: nobody else could tell
        failed = ErrorFrame(
            kind="sandbox_unavailable",
            message="The tool's process could not be set up.",
            retryable=True,
            detail=traceback.format_exc()[-DETAIL_CHARS:],
        )
        with contextlib.suppress(OSError):  # the server has gone: it will not miss it
            os.write(CHANNEL, encode_frame(failed))
    finally:
        os._exit(0)


def _set_up(birth: Birth) -> socket.socket:
    channel, stdout, stderr = birth.descriptors
    # None of the three is below 3, and each is read before a later one takes its number.
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(channel, CHANNEL)
    os.set_inheritable(CHANNEL, False)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    name_process("tool, parked")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    birth.scratch.mkdir(mode=0o700)
    os.chdir(birth.scratch)
    os.umask(0o077)
    scratch = str(birth.scratch)
    os.environ.update(HOME=scratch, TMPDIR=scratch)  # noqa: TID251 the tool's environment, not ours
    tempfile.tempdir = None
    forbid_core_dumps()
    _reseed()
    # Last: orphans of the tool's processes come to it while it lives, and to the zygote after.
    adopt_orphans()
    die_with_parent(birth.zygote)
    return socket.socket(fileno=CHANNEL)


def _rehearse() -> None:
    """Serve a request that does nothing, over a channel to itself.

    After a fork every first touch of a page costs a fault, and those are most of a call's time:
    here they are taken while nobody waits.
    """
    far, near = socket.socketpair()
    with far, near:
        far.sendall(encode_frame(_REHEARSAL))
        request: Request = receive_frame(near) or _REHEARSAL
        count_threads()
        wire = _Wire(near)
        wire.report(0.0, None, None)
        wire.finish(_run(_rehearsed, request, wire), cap_bytes=request["limits"]["result_bytes"])
        describe(ValueError())


@tool
def _rehearsed(text: str) -> dict[str, str]:
    """Give back ``text``."""
    return {"text": text}


_REHEARSAL: Final = Request(
    tool=_rehearsed.spec.name,
    source_sha256="",
    arguments={"text": "text"},
    run_id="",
    call_id="",
    idempotency_key="",
    deadline=0.0,
    secrets={},
    limits=Limits(memory_mb=0, cpu_s=0.0, file_mb=0, result_bytes=1024),
)


def _reseed() -> None:
    """Give each child its own numbers: Python's generator does so by itself at a fork."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _serve(request: Request, birth: Birth, channel: socket.socket) -> None:
    wire = _Wire(channel)
    tool = birth.tools.get(request["tool"])
    if tool is None or tool.spec.source_sha256 != request["source_sha256"]:
        wire.send(_changed(request["tool"]))
        return
    name_process(f"tool:{tool.spec.name}")
    os.environ.update(request["secrets"])  # noqa: TID251 the tool's environment, not ours
    confine(request["limits"], base_bytes=birth.base_bytes)
    wire.finish(_run(tool, request, wire), cap_bytes=request["limits"]["result_bytes"])


def _changed(name: str) -> ErrorFrame:
    message = f"The tool {name!r} was changed after the server started; restart the server."
    return ErrorFrame(kind="not_found", message=message)


def _run(tool: Tool[..., Any], request: Request, wire: "_Wire") -> ResultFrame | ErrorFrame:
    context = ToolContext(
        run_id=request["run_id"],
        call_id=request["call_id"],
        deadline=request["deadline"],
        idempotency_key=request["idempotency_key"],
        secrets=request["secrets"],
        report=wire.report,
    )
    try:
        value = invoke(tool, request["arguments"], context)
        if inspect.isawaitable(value):
            value = asyncio.run(_await(value))
        result: Rendered | None
        result = render_result(value, cap_bytes=request["limits"]["result_bytes"])
    except MemoryError:
        result = None  # said below, when the memory that the traceback holds is free again
    except BaseException as error:  # noqa: BLE001 whatever ends the tool is the call's outcome
        return describe(error)
    if result is None:
        memory_mb = request["limits"]["memory_mb"]
        message = f"The tool used more than its {memory_mb} MiB of memory."
        return ErrorFrame(kind="memory", message=message)
    return ResultFrame(content=result.content, output=result.output, truncated=result.truncated)


async def _await(value: Any) -> object:
    return await value


class _Wire:
    """The child's side of the call's channel."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()  # a tool may report from threads of its own
        self._thinning = Thinning()

    def send(self, frame: ResultFrame | ErrorFrame | ProgressFrame) -> None:
        self._send(encode_frame(frame))

    def report(self, done: float, total: float | None, message: str | None) -> None:
        if self._thinning.admits():
            _flush()  # what was printed before it is shown before it
            self.send(ProgressFrame(done=done, total=total, message=message))

    def finish(self, frame: ResultFrame | ErrorFrame, *, cap_bytes: int) -> None:
        usage = _usage()
        data = encode_frame(frame.model_copy(update=usage))
        if len(data) > frame_cap_bytes(cap_bytes):
            data = encode_frame(too_large(cap_bytes).model_copy(update=usage))
        _flush()
        self._send(data)

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._channel.sendall(data)


def _usage() -> dict[str, bool | int]:
    """Say what this process and those it waited for used, and whether any are left."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        alone = False
    except ChildProcessError:  # orphans below it would have come to it: it adopts them
        alone = True
    peak_rss_kb = max(own.ru_maxrss, others.ru_maxrss)
    return {"alone": alone, "cpu_ms": round(cpu_s * 1000), "peak_rss_kb": peak_rss_kb}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Closed, replaced or broken by the tool: its loss, but no reason to lose the result too.
        with contextlib.suppress(Exception):
            stream.flush()
