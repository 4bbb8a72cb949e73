"""`check-config`: says whether billing.yaml is right and what it still needs. Contacts nothing."""

import os
from pathlib import Path

from billing_pipeline.config import BillingConfig, Operator, environment_names, load_config
from billing_pipeline.steps.spark_session import require_engine


def check_config(path: Path) -> int:
    """Print operators, sources and the environment variables that are still missing; only `run` and `rebill` need those."""
    config = load_config(path)
    require_engine(config)
    print(f"{config.path}: valid; periods from {config.first_period}, engine {config.engine}")
    for operator in config.operators:
        print(f"  {operator.code:<20} {operator.name:<20} {_describe(operator)}")
    if config.rebilling is not None:
        given = config.rebilling
        absent = "" if given.customers.is_file() else " (no such file)"
        print(f"  rebilling: {given.type} {given.base_url}, customers in {given.customers}{absent}")
    _print_storage(config)
    _print_operating(config)
    missing = [(owner, name) for owner, name in environment_names(config) if not os.environ.get(name)]
    for owner, name in missing:
        print(f"  missing: environment variable {name} is not set; {owner} needs it to run")
    if not os.environ.get(config.api.keys_env):
        print(f"  missing: environment variable {config.api.keys_env} is not set; only serve needs it")
    return 0


def _describe(operator: Operator) -> str:
    source = operator.source
    where = source.folder if source.type == "r189_files" else source.base_url
    return f"{source.type} {where} ({operator.reconciliation.proration})"


def _print_storage(config: BillingConfig) -> None:
    name = config.storage.postgres_url_env
    server = f"external, URL in {name}" if os.environ.get(name) else f"embedded ({name} is not set)"
    print(f"  data in {config.storage.data_dir}; PostgreSQL {server}")


def _print_operating(config: BillingConfig) -> None:
    schedule = config.schedule
    print(
        f"  months run on day {schedule.day} at {schedule.time} {schedule.timezone}, and are late from day "
        f"{config.freshness_day} on"
    )
    told = []
    if config.alerts is not None and config.alerts.email is not None:
        mail = config.alerts.email
        told.append(f"by e-mail to {', '.join(mail.recipients)} through {mail.host}:{mail.port} ({mail.security})")
    if config.alerts is not None and config.alerts.webhook is not None:
        told.append(f"by webhook (URL in {config.alerts.webhook.url_env})")
    print(f"  alerts {', '.join(told)}" if told else "  alerts: nobody is told; see 'alerts' in the README")
