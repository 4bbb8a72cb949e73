"""`inspect`: what an R189 file says and how it would be read, without a database and without loading anything."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import Operator, Profile, find_config, load_config
from billing_pipeline.errors import RefusedFile, UsageError, as_text
from billing_pipeline.money import divide_half_up
from billing_pipeline.r189.naming import file_period, period_in_name
from billing_pipeline.r189.profile import FileProfile
from billing_pipeline.r189.reader import CHARGE_TYPE, ChargeBatch, R189File
from billing_pipeline.r189.rejections import shown
from billing_pipeline.schemas.r189 import R189_COLUMNS

FIRST_ROWS = 3
_MASK = "***"
_PERSONAL = frozenset(column.name for column in R189_COLUMNS if column.personal)
_HEADERS = {column.name: column.header for column in R189_COLUMNS} | {CHARGE_TYPE: "(charge type)"}


def inspect(file: Path, *, operator: str | None, config: Path | None) -> int:
    """Print the file's profile, period, first rows and rejections. RefusedFile where a run would refuse the file."""
    name = as_text(file.name)
    if not file.is_file():
        raise UsageError(f"{as_text(str(file))}: no such file; name an R189 file, .csv or .csv.gz")
    chosen = _operator(operator, config)
    try:
        opened = R189File(file, chosen.profile if chosen else Profile(), name=name)
        print(f"{name}: {opened.rows} rows, {len(opened.invoices)} invoices, SHA-256 {opened.sha256}")
        _print_profile(opened.profile, chosen)
        tally = _Tally()
        for batch in opened.batches():
            tally.add(batch)
    except OSError as error:
        raise UsageError(
            f"{as_text(str(file))}: cannot be read: {error.strerror}; mend the file's permissions"
        ) from None
    _print_first_rows(tally.first)
    _print_rejections(tally, chosen)
    if opened.cut:
        print(f"  the file ends within row {opened.rows}: its period would be incomplete; have it delivered whole")
    _print_period(name, tally.months)
    return 0


def _operator(code: str | None, config: Path | None) -> Operator | None:
    """Whose profile applies; None for the defaults, which need no configuration."""
    if code is None and config is None:
        return None
    loaded = load_config(find_config(config))
    if code is not None:
        return loaded.operator(code)
    if len(loaded.operators) > 1:
        known = ", ".join(one.code for one in loaded.operators)
        raise UsageError(f"{loaded.path} has several operators; say whose file it is with --operator ({known})")
    return loaded.operators[0]


class _Tally:
    """What a file's rows come to, without the rows."""

    def __init__(self) -> None:
        self.loaded = self.rejected = 0
        self.first: list[dict[str, object]] = []
        self.months: Counter[str] = Counter()
        self.broken: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], dict[str, object]] = {}

    def add(self, batch: ChargeBatch) -> None:
        self.loaded += batch.charges.num_rows
        self.rejected += pc.count_distinct(batch.rejected.column("source_row")).as_py()
        if len(self.first) < FIRST_ROWS:
            self.first += batch.charges.slice(0, FIRST_ROWS - len(self.first)).to_pylist()
        for one in pc.value_counts(batch.charge_months.drop_null()).to_pylist():
            self.months[one["values"]] += one["counts"]
        grouped = pa.table(batch.rejected).group_by(["check_name", "column_name"]).aggregate([("source_row", "count")])
        for one in grouped.to_pylist():
            self.broken[one["check_name"], one["column_name"]] += one["source_row_count"]
        if self.broken.keys() - self.examples.keys():
            for row in batch.rejected.to_pylist():
                self.examples.setdefault((row["check_name"], row["column_name"]), row)


def _print_profile(profile: FileProfile, operator: Operator | None) -> None:
    whose = f"with {operator.code}'s profile" if operator else "with the default profile; --operator names another"
    print(f"\nprofile, {whose}")
    settings = {
        "encoding": profile.encoding + (" with BOM" if profile.bom else ""),
        "decimal": profile.decimal,
        "date_format": profile.date_format.value,
        "charge_month_format": profile.charge_month_format.value,
        "tax_rate": profile.tax_rate,
    }
    for name, value in settings.items():
        print(f"  {name:<20} {value:<18} {profile.origins[name].value}")
    print(f"  {'records':<20} end with {profile.newline}, {profile.width} fields each")
    print(f"  {'columns':<20} {len(profile.columns)} of {len(R189_COLUMNS)}, field by header")
    for header, position in sorted(profile.columns.items(), key=lambda one: one[1]):
        print(f"    {position + 1:>3}  {header}")
    print(f"  {'absent, read as null':<20} {', '.join(profile.absent) or 'none'}")
    print(f"  {'extra, kept raw only':<20} {', '.join(map(shown, profile.extra)) or 'none'}")


def _print_first_rows(rows: list[dict[str, object]]) -> None:
    print("\nfirst rows as read, blank cells left out" if rows else "\nno row can be loaded")
    for row in rows:
        print(f"  row {row['source_row']}")
        for name, header in _HEADERS.items():
            if row[name] is not None:
                print(f"    {header:<22} {_shown_cell(name, row[name])}")


def _shown_cell(name: str, value: object) -> str:
    if name in _PERSONAL:
        return _MASK
    if isinstance(value, Decimal):
        return f"{value:f}"
    return shown(value) if isinstance(value, str) else str(value)


def _print_rejections(tally: _Tally, operator: Operator | None) -> None:
    read = tally.loaded + tally.rejected
    share = divide_half_up(Decimal(100 * tally.rejected), read) if read else Decimal(0)
    print(f"\n{tally.loaded} rows would be loaded, {tally.rejected} rejected ({share} %)")
    for (check, column), count in sorted(tally.broken.items(), key=lambda one: (-one[1], one[0])):
        example = tally.examples[check, column]
        print(f"  {count:>8} x {check:<13} {column or '(whole row)'}")
        print(f"             row {example['source_row']}: {example['message']}")
        if example["raw"] is not None:
            print(f"             {shown(str(example['raw']), 160)}")
    rules = operator.reconciliation if operator else None
    if rules is not None and read and Decimal(tally.rejected) > rules.max_rejected_ratio * read:
        print(f"  more than max_rejected_ratio {rules.max_rejected_ratio} allows: its period would be incomplete")


def _print_period(name: str, months: Counter[str]) -> None:
    """RefusedFile where the file's period cannot be told: a run would refuse it by name."""
    said = ", ".join(f"{month} ({rows} rows)" for month, rows in sorted(months.items())) or "none"
    period, differs = file_period(name, months)
    if period is None:
        raise RefusedFile(
            f"{name}: neither its name nor its rows' Charge Month ({said}) says which period it is for; "
            "rename it so that YYYY-MM stands in its name"
        )
    source = "its name" if period_in_name(name) is not None else "its rows' Charge Month"
    print(f"\nperiod {period}, from {source}; Charge Month in its rows: {said}")
    if differs:
        print("  name and rows differ: the name counts, and the difference becomes the finding FILE_PERIOD")
