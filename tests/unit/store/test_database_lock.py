import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_server.errors import StoreError, StoreLocked
from agent_server.store.lock import lock_database, lock_path, read_lock

HOLD = """
import sys, time
from agent_server.store.lock import lock_database
with lock_database(sys.argv[1]) as lock:
    lock.publish("http://127.0.0.1:1")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_holder_says_where_it_answers(tmp_path: Path) -> None:
    db = tmp_path / "data" / "agent.db"
    with lock_database(db) as lock:
        before = read_lock(db)
        assert before is not None
        assert (before.pid, before.url) == (os.getpid(), None)
        assert before.admin_token == lock.admin_token
        assert len(lock.admin_token) >= 32
        lock.publish("http://127.0.0.1:8000")
        after = read_lock(f"sqlite:///{db}")
        assert after is not None
        assert after.url == "http://127.0.0.1:8000"
        assert lock_path(db).stat().st_mode & 0o777 == 0o600
    assert read_lock(db) is None


def test_every_start_has_its_own_token(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(3):
        with lock_database(tmp_path / "agent.db") as lock:
            tokens.add(lock.admin_token)
    assert len(tokens) == 3


def test_a_second_server_is_refused_in_one_clear_line(tmp_path: Path) -> None:
    db = tmp_path / "agent.db"
    link = tmp_path / "link.db"
    link.symlink_to(db)
    with lock_database(db) as lock:
        lock.publish("http://127.0.0.1:8000")
        for name in (db, link):
            with pytest.raises(StoreLocked) as locked, lock_database(name):
                raise AssertionError
            assert f"process {os.getpid()} at http://127.0.0.1:8000" in locked.value.message
            assert "\n" not in locked.value.message
            assert locked.value.exit_code == 69


def test_what_a_killed_process_left_counts_for_nothing(tmp_path: Path) -> None:
    db = tmp_path / "agent.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        info = read_lock(db)
        assert info is not None
        assert (info.pid, info.url) == (holder.pid, "http://127.0.0.1:1")
        holder.kill()
        holder.wait()
    assert lock_path(db).read_bytes() != b""
    assert read_lock(db) is None
    with lock_database(db):
        assert read_lock(db) is not None


def test_no_file_is_no_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "agent.db") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as refused, lock_database(tmp_path / "file" / "agent.db"):
        raise AssertionError
    assert "cannot be written" in refused.value.message
