"""What a step that failed leaves behind: a word in the summary of a period that has no verdict. Mends and hides nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from billing_pipeline.config import Operator
from billing_pipeline.errors import BillingError, StorageError, UserError
from billing_pipeline.periods import Period
from billing_pipeline.steps.workspace import Workspace


@contextmanager
def failure_recorded(workspace: Workspace, operator: Operator, period: Period, run_id: str) -> Iterator[None]:
    """A period that was never evaluated says so, and why; a mistake in configuration or inventory changes nothing."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        told = str(error) if isinstance(error, BillingError) else f"unexpected {type(error).__name__}; see run {run_id}"
        told = told.removeprefix(f"{operator.code} {period}: ")
        with suppress(StorageError):
            workspace.partitions.record_failure(operator.code, str(period), told, run_id)
        raise
