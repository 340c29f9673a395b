"""Scratch folders: taking them away, whatever a tool has put there, without stalling the loop."""

import asyncio
import os
import secrets
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class ScratchSweeper:
    """Removes the scratch folders of ended children: empty ones at once, others in a thread."""

    def __init__(self) -> None:
        self._full: asyncio.Queue[Path] = asyncio.Queue()

    def remove(self, folder: Path) -> None:
        """Take ``folder`` away, now or soon."""
        try:
            folder.rmdir()
        except FileNotFoundError:  # the child did not live to make it
            return
        except OSError:
            self._full.put_nowait(folder)

    async def serve(self) -> None:
        """Remove full folders, one after the other, until cancelled."""
        while True:
            await self.sweep()

    async def sweep(self) -> None:
        """Wait for a full folder and remove it."""
        await remove_in_thread(await self._full.get())


async def remove_in_thread(folder: Path) -> None:
    """Remove a folder and all in it; what cannot be removed is logged and left."""
    try:
        await asyncio.to_thread(remove_tree, folder)
    except OSError as error:
        log.warning("sandbox.scratch_not_removed", folder=str(folder), error=str(error))


def remove_tree(folder: Path) -> None:
    """Remove ``folder`` and all in it, at any depth, following no link.

    Folders within folders are moved up to the top first, so that neither recursion nor the length
    of a path nor the number of descriptors grows with the depth.

    Raises:
        OSError: something cannot be removed.
    """
    folder.chmod(0o700)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        prefix = secrets.token_hex(8)
        moved = 0
        while inner := _empty(top):
            for name in inner:
                moved = _hoist(name, top, prefix=prefix, moved=moved)
    finally:
        os.close(top)
    folder.rmdir()


def _hoist(name: str, top: int, *, prefix: str, moved: int) -> int:
    """Move the folders in ``name`` to ``top`` and remove it; return how many were ever moved."""
    os.chmod(name, 0o700, dir_fd=top)
    within = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for inner in _empty(within):
            os.chmod(inner, 0o700, dir_fd=within)  # moving a folder writes to it
            os.rename(inner, f"{prefix}-{moved}", src_dir_fd=within, dst_dir_fd=top)
            moved += 1
    finally:
        os.close(within)
    os.rmdir(name, dir_fd=top)
    return moved


def _empty(folder: int) -> list[str]:
    """Remove all but the folders in ``folder``; return their names."""
    inner: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return inner
