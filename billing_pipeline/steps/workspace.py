"""What a step works with: the configuration and the open stores. No step's logic."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Self

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import ConfigurationError
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline.storage.raw import RawStore
from billing_pipeline.storage.servers import Databases, connect_databases

_RUN_ID_LENGTH = 36  # a UUID


@dataclass(frozen=True)
class Workspace:
    """The stores of one configuration, with the schema up to date."""

    config: BillingConfig
    databases: Databases
    raw: RawStore
    parquet: ParquetStore
    partitions: PartitionStore

    @classmethod
    @contextmanager
    def open(cls, config: BillingConfig, environ: Mapping[str, str] = os.environ) -> Iterator[Self]:
        """Connect (starting the embedded server where that is in use), migrate, and close on leaving."""
        databases = connect_databases(config, environ)
        upgrade(databases.billing)
        data = config.storage.data_dir
        parquet = ParquetStore(data / "parquet")
        yield cls(config, databases, RawStore(data / "raw"), parquet, PartitionStore(databases.billing, parquet))

    @property
    def scratch(self) -> Path:
        """Where steps keep what they need only while they run."""
        return scratch_folder(self.config)


def scratch_folder(config: BillingConfig) -> Path:
    """Where every run has folders of its own, named by its id and what comes behind; one that ends in order removes them."""
    return config.storage.data_dir / "scratch"


def discard_scratch(config: BillingConfig, ended: Callable[[str], bool]) -> None:
    """Remove what runs that have `ended` (asked by run id) left behind, their processes having been killed."""
    for folder in scratch_folder(config).glob("*"):
        if ended(folder.name[:_RUN_ID_LENGTH]):
            rmtree(folder, ignore_errors=True)


def required_secret(name: str, owner: str, environ: Mapping[str, str] = os.environ) -> str:
    """The value of an environment variable that holds a secret; ConfigurationError names it when it is not set."""
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"environment variable {name} is not set; put {owner}'s secret there")
    return value
