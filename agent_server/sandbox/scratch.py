"""Scratch folders: taking them away, whatever a tool has put there, without stalling the loop."""

import asyncio
from pathlib import Path

import structlog

from agent_server.sandbox.removal import remove_tree

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
    except FileNotFoundError:  # the zygote has cleared up behind itself
        return
    except OSError as error:
        log.warning("sandbox.scratch_not_removed", folder=str(folder), error=str(error))
