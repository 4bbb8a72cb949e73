"""The embedded server: started twice at once, from deep folders, by several programs, and reachable by nobody else."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from billing_pipeline.errors import StorageError
from billing_pipeline.storage import embedded
from billing_pipeline.storage.embedded import EmbeddedServer

START = """
import sys
from pathlib import Path
from billing_pipeline.storage import embedded
print(embedded.start(Path(sys.argv[1])).url_for("postgres"))
"""


def start_elsewhere(data_dir: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-W", "error", "-c", START, data_dir], stdout=subprocess.PIPE, text=True)


def test_two_programs_starting_it_at_once_get_one_server_that_outlives_them(data_dir: Path) -> None:
    programs = [start_elsewhere(data_dir) for _ in range(3)]
    try:
        urls = {program.communicate(timeout=60)[0].strip() for program in programs}
        assert [program.returncode for program in programs] == [0, 0, 0]
        (url,) = urls
        assert embedded.is_running(data_dir)
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW max_connections").fetchone() == ("200",)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    finally:
        assert embedded.stop(data_dir)
    assert not embedded.is_running(data_dir)
    assert not embedded.stop(data_dir)


def test_what_was_stopped_starts_again(data_dir: Path) -> None:
    for value in (0, 1):
        server = embedded.start(data_dir)
        with psycopg.connect(server.url_for("postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (x int)")
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (value,)
            connection.execute("INSERT INTO kept VALUES (1)")
        assert embedded.stop(data_dir)


def test_a_path_too_long_for_a_socket_and_full_of_odd_characters_works(data_dir: Path) -> None:
    deep = data_dir / "it's a $HOME" / ("é" * 60) / "data & co+100%"
    server = embedded.start(deep)
    try:
        assert len(os.fsencode(server.socket_dir)) < 90
        with psycopg.connect(server.url_for("postgres")) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row == (str(deep / "postgres" / "cluster"),)
    finally:
        assert embedded.stop(deep)
    assert not server.socket_dir.exists()


def test_odd_characters_in_a_short_path_survive_the_url() -> None:
    socket_dir = Path("/tmp/a b+c%20&d=é")
    assert "?host=%2Ftmp%2Fa%20b%2Bc%2520%26d%3D%C3%A9" in EmbeddedServer(socket_dir).url_for("billing")


def as_nobody(function: Callable[[], str]) -> str:
    """What `function` returns in a fork of this process that has become user nobody (whose own Python may be barred)."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # From 3.12 on a fork beside threads warns; this one only calls functions and leaves.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = function()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_no_other_user_gets_in(server: EmbeddedServer) -> None:
    def knock() -> str:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.connect(str(server.socket_dir / ".s.PGSQL.5432"))
        return "in"

    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert as_nobody(knock).startswith("PermissionError")


def test_a_normal_user_can_start_it_too() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        if os.geteuid() == 0:
            os.chown(home, 65534, 65534)

        def use() -> str:
            server = embedded.start(home / "data")
            with psycopg.connect(server.url_for("postgres")) as connection:
                connection.execute("SELECT 1")
            return f"{embedded.is_running(home / 'data')} {embedded.stop(home / 'data')}"

        assert as_nobody(use) == "True True"


def test_the_folders_above_the_data_are_not_opened_for_reading(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    embedded.start(closed / "data")
    try:
        assert stat.S_IMODE(closed.stat().st_mode) & (stat.S_IROTH | stat.S_IRGRP | stat.S_IWOTH) == 0
    finally:
        embedded.stop(closed / "data")


def test_a_socket_folder_somebody_else_made_is_refused(data_dir: Path) -> None:
    socket_dir = data_dir / "postgres" / "socket"
    socket_dir.mkdir(parents=True)
    socket_dir.chmod(0o777)
    with pytest.raises(StorageError, match="not a private folder"):
        embedded.start(data_dir)


def test_a_cluster_of_another_version_is_named_and_left_alone(data_dir: Path) -> None:
    cluster = data_dir / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(StorageError, match=r"was made by PostgreSQL 16, .*--from-raw"):
        embedded.start(data_dir)


def test_a_first_start_that_was_killed_leaves_nothing_in_the_way(data_dir: Path) -> None:
    half = data_dir / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    embedded.start(data_dir)
    assert embedded.is_running(data_dir)
    assert not half.exists()


def test_a_place_where_nothing_can_be_written_is_named(data_dir: Path) -> None:
    (data_dir / "file").write_text("")
    with pytest.raises(StorageError, match=r"file.*cannot be started"):
        embedded.start(data_dir / "file")
