"""Dagster's own home: dagster.yaml under data_dir/dagster and its storage in PostgreSQL. Its URL stays in the environment."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster._core.instance import DagsterInstance
from dagster_postgres.utils import DagsterPostgresException

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import StorageError
from billing_pipeline.storage.connections import dagster_url, explain_engine_error
from billing_pipeline.storage.durable import make_directory, write_text
from billing_pipeline.storage.servers import Databases

STORAGE_URL = "BILLING_PIPELINE_DAGSTER_STORAGE"
DAGSTER_YAML = f"""\
# Written by billing_pipeline when it is absent; yours to change.
storage:
  postgres:
    postgres_url:
      env: {STORAGE_URL}
telemetry:
  enabled: false
# No dialog that asks every new installation for an e-mail address.
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      # One run per operator's API: a second one of the same operator would only wait for the first in the database,
      # holding one of the four places.
      - key: dagster/partition/operator
        value:
          applyLimitPerUniqueValue: true
        limit: 1
  pools:
    # The one pool is dbt's, which cannot run twice at once in a project.
    default_limit: 1
    granularity: op
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  # A run whose worker was killed must not hold its slots, nor stay STARTED, for ever.
  free_slots_after_run_end_seconds: 300
  max_runtime_seconds: 21600
run_retries:
  # For runs whose process was killed. A step that failed has said why, and retries itself where that helps.
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
"""


def prepare_home(config: BillingConfig, databases: Databases) -> Path:
    """DAGSTER_HOME with a dagster.yaml in it; sets what this process and its children need to find the storage."""
    home = Path(os.environ.get("DAGSTER_HOME") or config.storage.data_dir / "dagster").absolute()
    settings = home / "dagster.yaml"
    try:
        make_directory(home)
        if not settings.exists():
            # Whole or not at all: with half of it Dagster would keep its records in files of its own, and nobody change it.
            write_text(settings, DAGSTER_YAML)
    except OSError as error:
        raise StorageError(
            f"{settings}: cannot be written: {error.strerror}; free space or mend its permissions"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ[STORAGE_URL] = dagster_url(databases.dagster)
    return home


@contextmanager
def open_instance(home: Path) -> Iterator[DagsterInstance]:
    """The instance all runs are recorded in, whether the command line or the UI starts them. StorageError, in one line,
    where its database does not take or give a record."""
    quiet = _Quiet()
    logging.getLogger().addFilter(quiet)
    try:
        with DagsterInstance.from_config(str(home)) as instance:
            yield instance
    except Exception as error:
        told = explain_engine_error(
            os.environ.get(STORAGE_URL, ""), error.__cause__ if isinstance(error, DagsterPostgresException) else error
        )
        if told is None:
            raise
        raise StorageError(f"{told}; Dagster keeps its records there: mend that and run again") from error
    finally:
        logging.getLogger().removeFilter(quiet)


class _Quiet(logging.Filter):
    """Keeps what dagster_postgres says of each of its tries to connect, by the root logger, off the terminal: the error
    that ends them says it once."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "dagster_postgres" not in Path(record.pathname).parts
