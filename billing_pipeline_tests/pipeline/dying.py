"""Points of a run at which its process kills itself: each replaces one named function of the package by one that dies.

Nothing is replaced but the moment: what came before it has really happened, and what would come after has not.
"""

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

Decision = Callable[..., bool]


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


_arrived: Callable[[], None] = die


def _always(*_: Any, **__: Any) -> bool:
    return True


def _before(owner: Any, name: str, when: Decision = _always) -> None:
    real = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        if when(*arguments, **options):
            _arrived()
        return real(*arguments, **options)

    setattr(owner, name, dying)


def _after(owner: Any, name: str, when: Decision = _always) -> None:
    real = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        if when(*arguments, **options):
            _arrived()
        return result

    setattr(owner, name, dying)


def _nth(count: int) -> Decision:
    calls = iter(range(1, 1000))
    return lambda *_, **__: next(calls) == count


def _document_without_manifest() -> None:
    from billing_pipeline.storage.raw import RawStore

    _before(RawStore, "write_manifest")


def _manifest_without_load() -> None:
    from billing_pipeline.storage.raw import RawStore

    _after(RawStore, "write_manifest")


def _state_known_before_the_commit() -> None:
    from billing_pipeline.storage.raw import RawStore

    _after(RawStore, "set_state")


def _before_the_copy_of_lines() -> None:
    from billing_pipeline.storage.replacement import PartitionWork

    _before(PartitionWork, "streaming")


def _after_the_copy_of_lines() -> None:
    from billing_pipeline.storage.replacement import PartitionWork

    # The lines are streamed as they are read; the first of the tables made from them comes next.
    _before(PartitionWork, "replace")


def _committed_without_parquet() -> None:
    from billing_pipeline.storage.parquet import ParquetStore

    _before(ParquetStore, "publish")


def _between_two_renames() -> None:
    from billing_pipeline.storage.parquet import ParquetStore

    _before(ParquetStore, "publish", _nth(4))


def _in_phase(phase: str) -> Decision:
    return lambda _launcher, _operator, _period, asked, **_: asked == phase


def _between_collect_and_reconcile() -> None:
    from billing_pipeline.defs.launch import Launcher

    _before(Launcher, "run", _in_phase("reconcile"))


def _reconciled_without_commit() -> None:
    from billing_pipeline.storage.replacement import PartitionWork

    _after(PartitionWork, "record", lambda _work, _period, phase, **_: phase == "reconcile")


def _reconciled_without_parquet() -> None:
    from billing_pipeline.storage.parquet import ParquetStore

    _before(ParquetStore, "publish", lambda _store, table, *_: table.name == "reconciliation_items")


def _views_made_without_record() -> None:
    from billing_pipeline.storage import marts

    _before(marts, "record")


def _after_everything() -> None:
    from billing_pipeline.defs.launch import Launcher

    _after(Launcher, "run", _in_phase("reconcile"))


POINTS: dict[str, Callable[[], None]] = {
    "document_without_manifest": _document_without_manifest,
    "manifest_without_load": _manifest_without_load,
    "before_the_copy_of_lines": _before_the_copy_of_lines,
    "after_the_copy_of_lines": _after_the_copy_of_lines,
    "state_known_before_the_commit": _state_known_before_the_commit,
    "committed_without_parquet": _committed_without_parquet,
    "between_two_renames": _between_two_renames,
    "between_collect_and_reconcile": _between_collect_and_reconcile,
    "reconciled_without_commit": _reconciled_without_commit,
    "reconciled_without_parquet": _reconciled_without_parquet,
    "after_everything": _after_everything,
}


# Come to only where the analysts' views have to be made.
MARTS_POINTS: dict[str, Callable[[], None]] = {"views_made_without_record": _views_made_without_record}


def install(point: str, arrived: Callable[[], None] = die) -> None:
    """Have this process die at `point`, or do something else there; KeyError where there is no such point."""
    global _arrived
    _arrived = arrived
    {**POINTS, **MARTS_POINTS}[point]()
