"""An append-only file of JSON lines that survives a power cut: what `append` has returned from is there. Knows no content."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing_pipeline.errors import StorageError
from billing_pipeline.storage.durable import make_directory, sync_directory

_POLL_S = 0.1


class Journal:
    """The file at `path`, which its first line makes. One writer at a time: see `exclusive`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Every whole line, oldest first. StorageError names a line that is not JSON.

        What stands behind the last line break is a line whose writer died before `append` returned: it never counted.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error.strerror}") from None
        entries = []
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise StorageError(
                    f"{self.path}: line {number} is not what was written; restore the file from a backup"
                )
            entries.append(entry)
        return entries

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line, on disk when this returns. StorageError when the disk refuses it."""
        line = json.dumps(entry, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass") + b"\n"
        try:
            make_directory(self.path.parent)
            is_new = not self.path.exists()
            with self.path.open("r+b" if not is_new else "xb") as file:
                file.truncate(_whole_lines(self.path))
                file.seek(0, os.SEEK_END)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_directory(self.path.parent)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error.strerror}; nothing was sent") from None


def _whole_lines(path: Path) -> int:
    """Bytes up to and with the last line break."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while size:
            step = min(size, 1 << 16)
            file.seek(size - step)
            found = file.read(step).rfind(b"\n")
            if found >= 0:
                return size - step + found + 1
            size -= step
    return 0


@contextmanager
def exclusive(path: Path, *, wait_s: float, busy: str) -> Iterator[None]:
    """Hold the lock file at `path`; StorageError `busy` while another process does. It ends with its holder."""
    try:
        make_directory(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StorageError(busy) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)
