"""A folder whose server is the embedded one: what a run of January does to it, and what is left of it."""

from collections.abc import Sequence
from pathlib import Path

import psycopg

from billing_pipeline.storage import embedded
from billing_pipeline_tests.faults.halting import FOLDER, Halt
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.program import Ended, Program, Started
from billing_pipeline_tests.pipeline.rive import Line, charge_file


class EmbeddedPlace:
    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = folder
        self._program = program

    def start(self, halt: Halt | None = None) -> Started:
        """`run` for January; with a `halt` it stops where that says."""
        extra = {} if halt is None else {FOLDER: str(halt.folder)}
        return self._program.start("run", "--period", "2024-01", folder=self.folder, extra=extra)

    def run(self, code: int | None = None) -> Ended:
        ended = self.start().wait()
        assert code in (None, ended.code), f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def deliver(self, lines: Sequence[Line]) -> None:
        (self.folder / "inbox/rive/R189_RIVE_202401.csv").write_text(charge_file(lines), encoding="utf-8", newline="")

    def url(self, database: str) -> str:
        return embedded.start(self.folder / "data").url_for(database)

    def content(self) -> tables.Stored:
        return tables.but_for_the_folder(tables.stored(self.url("billing")), self.folder)

    def unfinished(self) -> int:
        """Runs that Dagster's storage does not hold for ended."""
        with psycopg.connect(self.url("dagster")) as connection:
            row = connection.execute("SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE')").fetchone()
        assert row is not None
        return int(row[0])
