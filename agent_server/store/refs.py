"""Values kept by reference: a completed text is what its deltas were, so the disk holds it once.

Everything works on JSON literals: the inside of a completed string is the inside of its deltas
joined, with no decoding. A value is cut out of an event's bytes only if putting the deltas back
gives those very bytes, so a wrong guess here costs space and nothing else. What is kept instead
of the value is a ``Ref``; the process that wrote the deltas knows them from memory, and where it
does not (after a restart, above the bounds) the value stays inline.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic_core import from_json, to_json

from agent_server.errors import StoreError
from agent_server.events import (
    TERMINAL_TYPES,
    AnyEvent,
    TextCompleted,
    TextDelta,
    ThinkingCompleted,
    ThinkingDelta,
    TurnCompleted,
)

__all__ = [
    "DeltaMemory",
    "Interior",
    "Ref",
    "delta_interior",
    "read_refs",
    "splice",
    "write_refs",
]

MIN_CUT: Final = 40
"""Bytes below which a reference is no shorter than the value."""
RUN_BYTES: Final = 1024 * 1024
"""What one live run may hold in memory, deltas as they are encoded; longer texts stay inline."""
TOTAL_BYTES: Final = 64 * 1024 * 1024
"""What all live runs may hold in memory."""

_FORGETTING: Final = frozenset({"turn.started", "turn.restarted", "run.waiting"})
"""After these, no value repeats the deltas seen so far."""


class Ref(NamedTuple):
    """Where a value was cut out: ``length`` bytes go back in at ``offset`` of the stored bytes.

    They are the insides of the deltas of ``block`` with seqs ``first`` to ``last``.
    """

    offset: int
    block: str
    first: int
    last: int
    length: int


Interior = Callable[[Ref], bytes]
"""Finds what a reference stands for."""


def read_refs(column: str) -> list[Ref]:
    """Read an event row's ``refs`` column."""
    return [Ref(*item) for item in from_json(column)]


def splice(data: bytes, refs: Sequence[Ref], interior: Interior) -> bytes:
    """Put the referenced values back into ``data``.

    Raises:
        StoreError: the deltas that a reference names are not all there.
    """
    parts: list[bytes] = []
    position = 0
    for ref in refs:
        value = interior(ref)
        if len(value) != ref.length:
            raise StoreError(
                f"the deltas {ref.first} to {ref.last} of block {ref.block} are not complete"
            )
        parts += (data[position : ref.offset], value)
        position = ref.offset
    parts.append(data[position:])
    return b"".join(parts)


def delta_interior(data: bytes, block: str) -> bytes | None:
    """Return the inside of a delta's string, None where ``data`` is no delta of ``block``."""
    for name in (b"delta", b"thinking"):
        prefix = b'{"block":"%b","%b":"' % (block.encode(), name)
        if data.startswith(prefix) and data.endswith(b'"}'):
            return data[len(prefix) : -2]
    return None


@dataclass(slots=True)
class _Block:
    """The deltas of one block so far; ``lost`` where they cannot be referred to.

    ``deltas`` are whole events: what is inside is looked for once a completed value asks.
    """

    name: str
    is_text: bool
    first: int
    last: int = 0
    deltas: list[bytes] = field(default_factory=list)
    text: bytes = b""
    lost: bool = False

    def joined(self) -> bytes:
        """Return what the deltas say, nothing where that is not known."""
        if self.deltas and not self.lost:
            parts = [delta_interior(data, self.name) for data in self.deltas]
            said = [part for part in parts if part is not None]
            self.deltas = []
            if len(said) == len(parts):
                self.text += b"".join(said)
            else:
                self.lose()
        return self.text

    def lose(self) -> None:
        self.lost, self.deltas, self.text = True, [], b""


@dataclass(slots=True)
class _LiveRun:
    """The blocks of a run's turn in work, in order."""

    blocks: dict[str, _Block] = field(default_factory=dict)
    size: int = 0


class DeltaMemory:
    """The deltas of the live runs' present turns. Used by one thread, in order of seq."""

    def __init__(self) -> None:
        self._runs: dict[str, _LiveRun] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def forget(self, run_id: str) -> None:
        """Drop what is known of a run; its next completed values stay inline."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            self._size -= run.size

    def store(self, run_id: str, seq: int, event: AnyEvent, data: bytes) -> tuple[bytes, list[Ref]]:
        """Return the bytes to keep of an event and the references cut out of it.

        Remembers deltas on the way. If the transaction fails, ``forget`` the run.
        """
        # Compared by class: a class pattern costs a Python call for each model it tries.
        if type(event) is TextDelta or type(event) is ThinkingDelta:
            self._add(run_id, seq, event, data)
            return data, []
        if type(event) is TextCompleted or type(event) is ThinkingCompleted:
            return _cut(data, [self._known(run_id, [event.block])])
        if type(event) is TurnCompleted:
            return _cut(data, [self._known(run_id, [block]) for block in self._blocks(run_id)])
        if event.type in _FORGETTING:
            self.forget(run_id)
        elif event.type in TERMINAL_TYPES:
            texts = [name for name, block in self._blocks(run_id).items() if block.is_text]
            stored = _cut(data, [self._known(run_id, texts)])
            self.forget(run_id)
            return stored
        return data, []

    def _blocks(self, run_id: str) -> dict[str, _Block]:
        run = self._runs.get(run_id)
        return {} if run is None else run.blocks

    def _known(self, run_id: str, names: Iterable[str]) -> list[tuple[str, _Block]]:
        """The blocks of those names that are remembered and not empty."""
        blocks = self._blocks(run_id)
        return [(name, blocks[name]) for name in names if name in blocks and blocks[name].joined()]

    def _add(self, run_id: str, seq: int, event: TextDelta | ThinkingDelta, data: bytes) -> None:
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = _LiveRun()
        name = event.block
        block = run.blocks.get(name)
        if block is None:
            block = run.blocks[name] = _Block(name, type(event) is TextDelta, seq)
        if block.lost:
            return
        size = len(data)
        if run.size + size > RUN_BYTES or self._size + size > TOTAL_BYTES:
            block.lose()
            return
        block.deltas.append(data)
        block.last = seq
        run.size += size
        self._size += size


def _cut(data: bytes, values: Iterable[Sequence[tuple[str, _Block]]]) -> tuple[bytes, list[Ref]]:
    """Cut ``values``, each the joined texts of some blocks, out of ``data`` where it holds them."""
    refs: list[Ref] = []
    parts: list[bytes] = []
    known: dict[Ref, bytes] = {}
    position = kept = 0
    for blocks in values:
        value = b"".join(block.joined() for _name, block in blocks)
        found = data.find(b'"%b"' % value, position) if len(value) >= MIN_CUT else -1
        if found < 0:
            continue
        parts.append(data[position : found + 1])
        kept += len(parts[-1])
        for name, block in blocks:
            ref = Ref(kept, name, block.first, block.last, len(block.joined()))
            refs.append(ref)
            known[ref] = block.joined()
        position = found + 1 + len(value)
    parts.append(data[position:])
    stored = b"".join(parts)
    if not refs or splice(stored, refs, known.__getitem__) != data:
        return data, []
    return stored, refs


def write_refs(refs: Sequence[Ref]) -> str | None:
    """Write an event row's ``refs`` column."""
    return to_json(refs).decode() if refs else None
