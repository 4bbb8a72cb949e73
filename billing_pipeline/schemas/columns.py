"""What a column can be. Types carry their unit; the Parquet, PostgreSQL and pandas types are derived elsewhere."""

from dataclasses import dataclass
from enum import Enum

# Characters of an invoice's, a line's or a service's id: with the rest of its key it must fit PostgreSQL's index, which
# takes 2 704 bytes.
LONGEST_KEY = 255


class Kind(Enum):
    """The types of the pipeline's tables; each has one Arrow and one PostgreSQL counterpart."""

    TEXT = "text"
    PERIOD = "char(7)"  # YYYY-MM
    DATE = "date"
    INSTANT = "timestamptz"  # UTC, microseconds
    DECIMAL = "numeric(18,6)"  # money, prices, quantities, percentages
    RATE = "numeric(28,12)"  # exchange rates
    INTEGER = "bigint"
    BOOLEAN = "boolean"
    TEXT_LIST = "text[]"
    JSON = "jsonb"  # text in Parquet


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `name`, `kind`, what it means (`meaning`, with unit and source), whether it may be null."""

    name: str
    kind: Kind
    meaning: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One output table. `key` and the partition columns together are its primary key in PostgreSQL."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    in_postgres: bool = True
    in_parquet: bool = True

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


PARTITION = (
    Column("operator_code", Kind.TEXT, "The operator (OI) whose partition this row belongs to.", nullable=False),
    Column("period", Kind.PERIOD, "The partition that brought or computed the row, YYYY-MM.", nullable=False),
)
PROVENANCE = (
    Column("run_id", Kind.TEXT, "The Dagster run that wrote the row.", nullable=False),
    Column("loaded_at", Kind.INSTANT, "When that run wrote it.", nullable=False),
)


def table(
    name: str,
    grain: str,
    key: tuple[str, ...],
    *columns: Column,
    in_postgres: bool = True,
    in_parquet: bool = True,
) -> Table:
    """A table with the columns every table has around its own: the partition before, the provenance after."""
    not_null = frozenset(key)
    own = tuple(Column(c.name, c.kind, c.meaning, nullable=c.nullable and c.name not in not_null) for c in columns)
    return Table(
        name=name,
        grain=grain,
        key=("operator_code", "period", *key),
        columns=(*PARTITION, *own, *PROVENANCE),
        in_postgres=in_postgres,
        in_parquet=in_parquet,
    )
