"""Removing a folder that hostile code has filled. Knows the standard library only."""

import os
import secrets
from pathlib import Path


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
