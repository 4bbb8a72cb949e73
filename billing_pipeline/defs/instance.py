"""Dagster's own home: dagster.yaml under data_dir/dagster and its storage in PostgreSQL. Its URL stays in the environment."""

import os
from pathlib import Path

from dagster._core.instance import DagsterInstance

from billing_pipeline.config import BillingConfig
from billing_pipeline.storage.connections import dagster_url
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
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ[STORAGE_URL] = dagster_url(databases.dagster)
    return home


def open_instance(home: Path) -> DagsterInstance:
    """The instance all runs are recorded in, whether the command line or the UI starts them."""
    return DagsterInstance.from_config(str(home))
