"""Importing tool files by path.

A folder is imported as a package of its own, named by a hash of its path: two folders may hold
files of the same name, and a file may import its neighbours (``from ._rates import convert``, or
``from _rates import convert`` at its top level). Byte code is neither read nor written: what runs
is what was hashed.
"""

import hashlib
import importlib
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from agent_server.errors import ToolLoadError
from agent_server.tooling.schema import TOOL_PACKAGE_PREFIX
from agent_server.tooling.text import abridge

__all__ = ["import_tool_file", "is_tool_file_module", "reporting_failures", "source_sha256"]

_REASON_CHARS: Final = 300
_TASKS: Final = Path("/proc/self/task")


def is_tool_file_module(name: str) -> bool:
    """Whether a module of this name is a tool file, imported here; helper files (``_…``) are not."""
    package, _, stem = name.partition(".")
    return package.startswith(TOOL_PACKAGE_PREFIX) and not stem.startswith("_")


def source_sha256(module: ModuleType) -> str:
    """Return the sha256 of the source a tool file's module was made from."""
    loader = module.__spec__.loader if module.__spec__ else None
    return loader.sha256 if isinstance(loader, _HashingLoader) else ""


def import_tool_file(file: Path, *, fresh: bool, sha256: str = "") -> ModuleType:
    """Import one tool file.

    A module that is loaded already is kept where ``fresh`` is false and its source has ``sha256``.

    Raises:
        ToolLoadError: it cannot be imported, or starts a thread.
    """
    if "." in file.stem:
        raise ToolLoadError(f"{file}:1: a tool file's name has no dot before .py: rename it")
    package = _package_of(file.parent)
    name = f"{package}.{file.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and not fresh and source_sha256(loaded) == sha256:
        return loaded
    if loaded is not None and not _is_being_loaded(loaded):
        _forget(package)
    with _watching_threads(file), _finding(package, file.parent), reporting_failures(str(file)):
        return importlib.import_module(name)


class _HashingLoader(SourceFileLoader):
    """Compiles from source, always, and says what it read."""

    sha256: str = ""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        self.sha256 = hashlib.sha256(source).hexdigest()
        code: CodeType = self.source_to_code(source, self.path)
        return code


class _Finder:
    """Finds the files of one tool folder by its package's name."""

    def __init__(self, package: str, folder: Path) -> None:
        self._prefix = f"{package}."
        self._folder = folder

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._prefix):
            return None
        file = self._folder / f"{fullname.removeprefix(self._prefix)}.py"
        if not file.is_file():
            return None
        loader = _HashingLoader(fullname, str(file))
        return spec_from_file_location(fullname, file, loader=loader)
