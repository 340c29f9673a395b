"""What is said in the frames and control messages between server, zygote and child."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from agent_server.messages import JsonObject
from agent_server.sandbox.frames import FrameError, parse_strictly
from agent_server.tooling.spec import ToolSpec

PROGRESS_FRAMES: Final = 1_000
"""How many a call may send; the child thins them out long before."""
MESSAGE_CHARS: Final = 65_536
DETAIL_CHARS: Final = 16_384
START_CAP_BYTES: Final = 64 * 1_048_576
RESULT_BLOCKS: Final = frozenset({"text", "image", "document", "search_result"})
"""What a tool result may hold; any other block would change the conversation."""


class Limits(TypedDict):
    """What the child may use. ``result_bytes`` bounds the rendered result."""

    memory_mb: int
    cpu_s: float
    file_mb: int
    result_bytes: int


class Request(TypedDict):
    """Server to child, over the call's own channel: the one call to serve."""

    tool: str
    source_sha256: str
    arguments: JsonObject
    run_id: str
    call_id: str
    idempotency_key: str
    deadline: float
    secrets: dict[str, str]
    limits: Limits


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_block(block: JsonObject) -> JsonObject:
    if block.get("type") not in RESULT_BLOCKS:
        raise ValueError(f"a tool result holds no block of type {block.get('type')!r:.80}")
    return block


class _Ending(_Frame):
    """The last thing a child says: what it used, and whether no process is left below it.

    The tool could lie about either, but gains nothing: the zygote looks for itself.
    """

    alone: bool = False
    cpu_ms: Annotated[int, Field(ge=0)] | None = None
    peak_rss_kb: Annotated[int, Field(ge=0)] | None = None


class ResultFrame(_Ending):
    """Child to server: the tool returned."""

    t: Literal["result"] = "result"
    content: list[Annotated[JsonObject, AfterValidator(_check_block)]]
    output: Any
    truncated: bool


class ErrorFrame(_Ending):
    """Child to server: the tool did not return, or could not be run."""

    t: Literal["error"] = "error"
    kind: Literal[
        "exception",
        "memory",
        "output",
        "crashed",
        "invalid_input",
        "not_found",
        "sandbox_unavailable",
    ]
    message: Annotated[str, StringConstraints(max_length=MESSAGE_CHARS)]
    retryable: bool = False
    detail: Annotated[str, StringConstraints(max_length=DETAIL_CHARS)] | None = None


class ProgressFrame(_Frame):
    """Child to server: how far the tool is."""

    t: Literal["progress"] = "progress"
    done: FiniteFloat
    total: FiniteFloat | None
    message: Annotated[str, StringConstraints(max_length=500)] | None


ChildFrame = ResultFrame | ErrorFrame | ProgressFrame

_CHILD_FRAME: Final[TypeAdapter[ChildFrame]] = TypeAdapter(
    Annotated[ChildFrame, Discriminator("t")]
)


def parse_child_frame(body: bytes) -> ChildFrame:
    """Parse what a child sent.

    Raises:
        FrameError: it is not what a child may send.
    """
    try:
        return _CHILD_FRAME.validate_python(parse_strictly(body))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise FrameError(f"an unknown frame: {problem['msg']}") from error


def frame_cap_bytes(result_bytes: int) -> int:
    """The longest frame a child may send: a result, its JSON value, and what escaping adds."""
    return 4 * result_bytes + 4 * MESSAGE_CHARS + 65_536


def too_large(result_bytes: int) -> ErrorFrame:
    """The failure of a result that is over the cap and cannot be cut to it."""
    message = f"The tool's result is larger than {result_bytes // 1024} KiB."
    return ErrorFrame(kind="output", message=message)


class Start(BaseModel):
    """Zygote to server, once: its process id and the tools it has loaded, or why it has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    manifest: list[ToolSpec] = []
    error: str | None = None


class ZygoteConfig(BaseModel):
    """Server to zygote, on its command line. ``control`` and ``start`` are descriptors.

    The zygote makes a folder of its own in ``scratch_root``, and takes it away when it ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    control: int
    start: int
    tool_paths: list[Path]
    entry_points: bool
    load_timeout_s: float
    scratch_root: Path
    path: list[str]


class Spawn(NamedTuple):
    """Server to zygote: fork a child. With it go its channel and its output pipes.

    ``rehearse`` it when no call waits for it yet.
    """

    number: int
    rehearse: bool


class Report(NamedTuple):
    """Zygote to server: what became of a spawn.

    ``spawned`` comes with the child's pidfd; ``ended`` once it and all below it are gone.
    """

    op: Literal["spawned", "refused", "ended"]
    number: int
    status: int = 0
    cpu_ms: int = 0
    peak_rss_kb: int = 0
    error: str = ""
