"""Scratch folders go away, whatever is in them."""

import os
from pathlib import Path

import pytest
import structlog

from agent_server.sandbox.removal import remove_tree
from agent_server.sandbox.scratch import ScratchSweeper, remove_in_thread


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=here)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove_tree(root)
    assert not root.exists()


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "kept").write_text("x", encoding="utf-8")
    root.mkdir()
    (root / "folder").symlink_to(outside, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "file").symlink_to(outside / "kept")
    (root / "nothing").symlink_to(tmp_path / "nowhere")
    remove_tree(root)
    assert not root.exists()
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_folders_of_many_names_and_closed_ones_are_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for outer in range(5):
        for inner in range(5):
            folder = root / str(outer) / str(inner)
            folder.mkdir(parents=True)
            (folder / "file").write_text("x", encoding="utf-8")
            folder.chmod(0)
    (root / "0").chmod(0)
    os.mkfifo(root / "pipe")
    remove_tree(root)
    assert not root.exists()


def test_an_empty_folder_is_removed_at_once_and_a_missing_one_is_no_matter(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sweeper = ScratchSweeper()
    sweeper.remove(folder)
    sweeper.remove(folder)
    assert not folder.exists()


async def test_what_cannot_be_removed_is_logged_and_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    with structlog.testing.capture_logs() as logs:
        await remove_in_thread(file)
    assert [entry["event"] for entry in logs] == ["sandbox.scratch_not_removed"]
    assert file.exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_full_folder_is_removed_by_the_service(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / kind).mkdir() if kind == "folder" else (folder / kind).touch()
    sweeper = ScratchSweeper()
    sweeper.remove(folder)
    assert folder.exists()
    await sweeper.sweep()
    assert not folder.exists()
