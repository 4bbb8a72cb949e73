"""Processes that stop at a point of dying.py, say so, and wait until they are told to go on: time for a test to take
something else away. Control is by files in a folder, since the processes are Dagster's and not the test's."""

import os
import time
from pathlib import Path

from billing_pipeline_tests.pipeline import dying

FOLDER = "BILLING_TEST_HALT"
# A test that failed meanwhile tells nobody to go on.
LONGEST_S = 120


def install_from_environment() -> None:
    """Halt at the point that the file `point` names, if there is one and nobody has halted yet."""
    folder = Path(os.environ[FOLDER])
    point = folder / "point"
    if point.exists() and not (folder / "reached").exists():
        dying.install(point.read_text(), lambda: _halt(folder))


def _halt(folder: Path) -> None:
    if (folder / "reached").exists():
        return
    aside = folder / f"{os.getpid()}.part"
    aside.write_text(str(os.getpid()))
    aside.rename(folder / "reached")
    deadline = time.monotonic() + LONGEST_S
    while not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


class Halt:
    """The test's side of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def at(self, point: str) -> None:
        """The next process that is started halts at `point`."""
        self.clear()
        (self.folder / "point").write_text(point)

    def clear(self) -> None:
        for file in self.folder.iterdir():
            file.unlink()

    def wait(self, timeout_s: float = 120) -> int:
        """Until a process has come to the point; its pid."""
        deadline = time.monotonic() + timeout_s
        while not (self.folder / "reached").exists():
            assert time.monotonic() < deadline, "no process came to the point"
            time.sleep(0.05)
        return int((self.folder / "reached").read_text())

    def go_on(self) -> None:
        (self.folder / "go").touch()
