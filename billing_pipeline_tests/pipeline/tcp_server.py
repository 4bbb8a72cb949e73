"""A PostgreSQL as somebody else runs it: on a TCP port, with passwords; started, stopped and killed by the test."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from billing_pipeline.storage import embedded
from billing_pipeline_tests.pipeline.places import folder_for_a_server


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TcpServer:
    """A server on a TCP port that asks for passwords; `admin` is the superuser's URL over its socket, without one."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._cluster = folder / "postgres" / "cluster"
        self.admin = f"postgresql://postgres@/postgres?host={self._cluster}&port={port}"

    @classmethod
    @contextmanager
    def running(cls, role: str, attributes: str, password: str) -> Iterator["TcpServer"]:
        """With a login role of these attributes and this password."""
        with folder_for_a_server() as folder:
            server = cls(folder, free_port())
            url = embedded.start(folder).url_for("postgres")
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in (
                    sql.SQL("ALTER SYSTEM SET listen_addresses = '127.0.0.1'"),
                    sql.SQL("ALTER SYSTEM SET port = {}").format(server.port),
                    sql.SQL(f"CREATE ROLE {role} LOGIN {attributes} PASSWORD {{}}").format(password),  # type: ignore[arg-type]
                ):
                    connection.execute(statement)
            embedded.stop(folder)
            rules = server._cluster / "pg_hba.conf"
            rules.write_text(f"host all all 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        # A killed server's pid file may name a zombie, which PostgreSQL takes for a living server.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        self._pg_ctl("start", "-o", f"-c unix_socket_directories={self._cluster}")

    def stop(self) -> None:
        if (self._cluster / "postmaster.pid").exists():
            self._pg_ctl("stop", "-m", "immediate")

    def kill(self) -> None:
        """kill -9 of the server; returns once all its processes are gone."""
        server = psutil.Process(int((self._cluster / "postmaster.pid").read_text().split()[0]))
        forked = server.children(recursive=True)
        server.kill()
        # What it forked ends by itself once its parent is gone; until then a new server would not start.
        _, alive = psutil.wait_procs([server, *forked], timeout=60)
        assert not alive, "processes of a killed PostgreSQL are still there"

    def create(self, owner: str, *databases: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            for name in databases:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
                )

    def _pg_ctl(self, *arguments: str) -> None:
        """As the server's own user where we are root, as an administrator does."""
        log = str(self._cluster / "log.txt")
        command = [str(embedded._binaries() / "pg_ctl"), "-D", str(self._cluster), "-w", "-l", log, *arguments]
        owner = {"user": self._cluster.owner(), "group": self._cluster.group(), "extra_groups": []}
        subprocess.run(
            command, check=True, cwd="/", stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            **(owner if os.geteuid() == 0 else {}),
        )  # fmt: skip
