"""What a `run` was asked for, checked against the configuration before anything heavy is imported."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing_pipeline.config import BillingConfig, Operator, environment_names, load_config
from billing_pipeline.errors import ConfigurationError, UsageError
from billing_pipeline.periods import Period, last_complete_period


@dataclass(frozen=True)
class Request:
    """Which partitions: every operator by every period, periods in order."""

    config: BillingConfig
    operators: tuple[Operator, ...]
    periods: tuple[Period, ...]


def requested(
    path: Path,
    *,
    periods: Sequence[str],
    operators: Sequence[str] | None,
    needs_secrets: bool,
    environ: Mapping[str, str] = os.environ,
) -> Request:
    """UsageError or ConfigurationError unless the periods and operators exist and the operators' secrets are set."""
    config = load_config(path)
    chosen = tuple(config.operator(code) for code in dict.fromkeys(operators or [one.code for one in config.operators]))
    wanted = tuple(sorted({requested_period(config, text) for text in periods}))
    codes = {operator.code for operator in chosen}
    if needs_secrets:
        for owner, name in environment_names(config):
            if owner in codes and not environ.get(name, "").strip():
                raise ConfigurationError(f"environment variable {name} is not set; put {owner}'s secret there")
    return Request(config, chosen, wanted)


def requested_period(config: BillingConfig, text: str) -> Period:
    """A period given by the user; UsageError unless there is a partition for it."""
    try:
        period = Period.parse(text)
    except ValueError as error:
        raise UsageError(f"--period {error}") from None
    first, last = Period.parse(config.first_period), last_complete_period()
    if not first <= period <= last:
        raise UsageError(
            f"--period {period} is outside {first} to {last}: periods start at 'first_period' in {config.path.name} "
            "and end with the last complete month"
        )
    return period
