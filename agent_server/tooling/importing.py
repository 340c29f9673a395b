"""Importing tool files by path.

A folder is imported as a package of its own, named by a hash of its path: two folders may hold
files of the same name, and a file may import its neighbours (``from ._rates import convert``, or
``from _rates import convert`` at its top level). Byte code is neither read nor written: what runs
is what was hashed.
"""

import hashlib
import importlib
import sys
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
from agent_server.tooling.threads import refusing_threads

__all__ = [
    "forget_tool_files",
    "import_tool_file",
    "is_tool_file_module",
    "reporting_failures",
    "source_sha256",
]

_REASON_CHARS: Final = 300


def is_tool_file_module(name: str) -> bool:
    """Whether a module of this name is a tool file, imported here; a helper (``_…``) is none."""
    package, _, stem = name.partition(".")
    return package.startswith(TOOL_PACKAGE_PREFIX) and not stem.startswith("_")


def source_sha256(module: ModuleType) -> str:
    """Return the sha256 of the source a tool file's module was made from."""
    loader = module.__spec__.loader if module.__spec__ else None
    return loader.sha256 if isinstance(loader, _HashingLoader) else ""


def forget_tool_files(folder: Path) -> None:
    """Forget every module imported from ``folder``: the next import reads the files again."""
    package = _package_of(folder)
    for name in [name for name in sys.modules if name.split(".", 1)[0] == package]:
        del sys.modules[name]


def import_tool_file(file: Path) -> ModuleType:
    """Import one tool file, or return its module where it is imported already.

    Raises:
        ToolLoadError: it cannot be imported, or starts a thread.
    """
    if "." in file.stem:
        raise ToolLoadError(f"{file}:1: a tool file's name has no dot before .py: rename it")
    package = _package_of(file.parent)
    _ensure_package(package, file.parent)
    name = f"{package}.{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    with refusing_threads(file), _finding(package, file.parent), reporting_failures(str(file)):
        return importlib.import_module(name)


@contextmanager
def reporting_failures(place: str) -> Iterator[None]:
    """Turn whatever an import raises into one line.

    ``place`` is the file that is being imported, or what else to call it.

    Raises:
        ToolLoadError: the import failed.
    """
    try:
        yield
    except ToolLoadError:
        raise  # a declaration's own: it names its file and line
    except SystemExit as error:
        line = _line_of(error, place)
        raise ToolLoadError(
            f"{place}{line}: it exits when it is imported: guard that by if __name__ == '__main__'"
        ) from error
    except Exception as error:  # tool files are anybody's code, and may raise anything
        kind = type(error).__name__
        reason = " ".join(str(error).split()) or "no message"
        if isinstance(error, SyntaxError):
            reason = error.msg
            if error.filename not in (None, place):
                reason += f" ({error.filename}, line {error.lineno})"
        raise ToolLoadError(
            f"{place}{_line_of(error, place)}: {kind}: {abridge(reason, _REASON_CHARS)}"
        ) from error


def _line_of(error: BaseException, file: str) -> str:
    """Return ``:line`` of the file's own frame: the last one, or where its syntax is wrong."""
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file and frame.lineno]
    return f":{lines[-1]}" if lines else ""


def _package_of(folder: Path) -> str:
    return TOOL_PACKAGE_PREFIX + hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def _ensure_package(package: str, folder: Path) -> None:
    if package not in sys.modules:
        module = ModuleType(package, f"The tool files of {folder}.")
        module.__path__ = [str(folder)]
        sys.modules[package] = module


@contextmanager
def _finding(package: str, folder: Path) -> Iterator[None]:
    """Let imports find the folder's files, by its package and, last of all, at the top level."""
    finder = _Finder(package, folder)
    before = set(sys.modules)
    sys.meta_path.insert(0, finder)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            # Another folder may have a helper of the same name: it must not get this one.
            origin = getattr(sys.modules[name], "__file__", None)
            if "." not in name and origin and Path(origin).parent == folder:
                del sys.modules[name]


class _HashingLoader(SourceFileLoader):
    """Compiles from source, always, and says what it read."""

    sha256: str = ""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 -- the import system's hook
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
