"""A server to be killed: calls a tool with a family, says so, and waits. Run as a script."""

import asyncio
import sys
from pathlib import Path

from tests.unit.sandbox.sandboxes import Caller, process_sandbox


async def main(ledger: str, scratch: str) -> None:
    """Print a line once the tool has started all its processes."""
    async with process_sandbox(scratch_root=Path(scratch)) as sandbox, asyncio.TaskGroup() as group:
        call = Caller(sandbox, sandbox.manifest)
        group.create_task(call("family", ledger=ledger, then="hang"))
        await call.showed.wait()
        print(sandbox.zygote_pid, flush=True)  # noqa: T201 what the test waits for


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
