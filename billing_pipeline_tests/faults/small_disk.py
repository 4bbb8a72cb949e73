"""A file system of its own for a folder, which a test can fill and empty again. Needs the right to mount: root, and a
machine (or container) that lets it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from billing_pipeline_tests.needed import needed


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path, megabytes: int) -> Iterator["SmallDisk"]:
        """`folder`, with what is in it, on a file system of that size; skips the test where mounting is not allowed."""
        aside = folder.with_name(f"{folder.name}.aside")
        if folder.exists():
            folder.rename(aside)
        folder.mkdir(mode=0o755)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
        needed("mount", done is not None and done.returncode == 0, "mounting a small file system is not allowed here")
        try:
            if aside.exists():
                subprocess.run(["cp", "-a", f"{aside}/.", str(folder)], check=True)
            yield cls(folder)
        finally:
            # Lazily: a process that is still ending may have a file open in it.
            subprocess.run(["umount", "-l", str(folder)], check=True)

    def fill(self, leaving: int) -> None:
        """Take all of it but `leaving` bytes (whole blocks)."""
        self._ballast.unlink(missing_ok=True)
        size = shutil.disk_usage(self.folder).free - leaving
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def empty(self) -> None:
        self._ballast.unlink()
