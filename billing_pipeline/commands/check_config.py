"""`check-config`: says whether billing.yaml is right and what it still needs. Contacts nothing."""

import os
from pathlib import Path

from billing_pipeline.config import BillingConfig, Operator, environment_names, load_config


def check_config(path: Path) -> int:
    """Print operators, sources and the environment variables that are still missing; only `run` and `rebill` need those."""
    config = load_config(path)
    print(f"{config.path}: valid; periods from {config.first_period}, engine {config.engine}")
    for operator in config.operators:
        print(f"  {operator.code:<20} {operator.name:<20} {_describe(operator)}")
    if config.rebilling is not None:
        given = config.rebilling
        absent = "" if given.customers.is_file() else " (no such file)"
        print(f"  rebilling: {given.type} {given.base_url}, customers in {given.customers}{absent}")
    _print_storage(config)
    missing = [(owner, name) for owner, name in environment_names(config) if not os.environ.get(name)]
    for owner, name in missing:
        print(f"  missing: environment variable {name} is not set; {owner} needs it to run")
    return 0


def _describe(operator: Operator) -> str:
    source = operator.source
    where = source.folder if source.type == "r189_files" else source.base_url
    return f"{source.type} {where} ({operator.reconciliation.proration})"


def _print_storage(config: BillingConfig) -> None:
    name = config.storage.postgres_url_env
    server = f"external, URL in {name}" if os.environ.get(name) else f"embedded ({name} is not set)"
    print(f"  data in {config.storage.data_dir}; PostgreSQL {server}")
