"""The command line as a user sees it: arguments and environment in, exit code and two streams out. Knows no table."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# What a developer's shell may have set and no test may see.
_OURS = ("BILLING_", "NETWO_", "ORANGE_", "DAGSTER_", "PG", "PYTEST_", "CUSTOMER_INVOICING_")


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.strip()]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that would configure the program, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    # A terminal as wide as it likes must not change what is compared; a BLAS thread must not exist when forking.
    return {**kept, "COLUMNS": "200", "OPENBLAS_NUM_THREADS": "1", **(extra or {})}


def cold(*arguments: str, folder: Path, extra: Mapping[str, str] | None = None, timeout: float = 600) -> Ended:
    """`python -m billing_pipeline …` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "billing_pipeline", *arguments],
        cwd=folder, env=environment(extra), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


class Started:
    """A command under way in a process of its own."""

    def __init__(self, program: "Program", pid: int, out: Path, err: Path) -> None:
        self.pid = pid
        self._program, self._out, self._err = program, out, err

    def wait(self) -> Ended:
        code = self._program.ask({"wait": self.pid})["code"]
        return Ended(code, self._out.read_text(), self._err.read_text())


class Program:
    """The command line behind command_server.py: each command a process of its own, the imports paid once."""

    def __init__(self, process: "subprocess.Popen[str]", outputs: Path) -> None:
        self._process = process
        self._outputs = outputs
        self._count = 0
        self._asked = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        with (
            tempfile.TemporaryDirectory(prefix="billing-test-") as outputs,
            subprocess.Popen(
                [sys.executable, "-m", "billing_pipeline_tests.pipeline.command_server"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
                cwd=Path(__file__).parents[2],
            ) as process,
        ):  # fmt: skip
            program = cls(process, Path(outputs))
            program._answer()
            yield program
            assert process.stdin is not None
            process.stdin.close()

    def start(
        self, *arguments: str, folder: Path, extra: Mapping[str, str] | None = None, point: str | None = None
    ) -> Started:
        """Start a command in `folder`; with a `point` of dying.py it kills itself there."""
        self._count += 1
        out, err = (self._outputs / f"{self._count}.{name}" for name in ("out", "err"))
        request = {
            "arguments": arguments, "folder": str(folder), "environment": environment(extra), "point": point,
            "out": str(out), "err": str(err),
        }  # fmt: skip
        return Started(self, self.ask(request)["pid"], out, err)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer to this request; one to an earlier request whose test gave up waiting is passed over."""
        assert self._process.stdin is not None
        self._asked += 1
        self._process.stdin.write(json.dumps({**request, "asked": self._asked}) + "\n")
        self._process.stdin.flush()
        while (answer := self._answer())["asked"] != self._asked:
            pass
        return answer

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the command server has ended; what it said stands above"
        return json.loads(line)
