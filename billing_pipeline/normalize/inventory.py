"""The reseller's own files: services, price history, expected one-off charges. Read whole, refused whole.

Its payments and disputes are read in claims.py, by the same rules of form.

One invalid row refuses its file (InventoryError with file, row, column and remedy): an inventory that is partly
right would turn into verdicts that are wrong.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import Services
from billing_pipeline.errors import InventoryError
from billing_pipeline.normalize.inventory_rules import CHARGES, PRICES, SERVICES, Fault, FileRules, broken_rules
from billing_pipeline.periods import Period
from billing_pipeline.schemas.arrow import ARROW_TYPES
from billing_pipeline.schemas.columns import Kind

_SHOWN_FAULTS = 3


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """One file as read; `path` names it in messages and `content` is kept as a source document."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class InventoryFiles:
    """The files one period is reconciled with; prices and charges only where they are configured."""

    services: InventoryFile
    prices: InventoryFile | None
    charges: InventoryFile | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the reseller expects of all configured operators.

    `services`: operator_code and the inventory's columns of table `services`; `prices`: operator_code, service_id,
    valid_from, monthly_price_ht; `charges`: operator_code, service_id, period, amount_ht, description, position.
    Money is excluding tax, per month for prices, in the contract's currency.
    """

    services: pa.Table
    prices: pa.Table
    charges: pa.Table
    warnings: tuple[str, ...]

    def of(self, operator_code: str) -> "Inventory":
        """The same, for one operator, without the column operator_code."""

        def own(table: pa.Table) -> pa.Table:
            return table.filter(pc.equal(table["operator_code"], operator_code)).drop_columns(["operator_code"])

        return Inventory(own(self.services), own(self.prices), own(self.charges), self.warnings)


def read_files(services: Services, period: Period) -> InventoryFiles:
    """The configured files for `period`: `{period}` in a path is filled in. InventoryError when one cannot be read."""

    def read(template: Path | None) -> InventoryFile | None:
        return None if template is None else read_file(Path(str(template).replace("{period}", str(period))))

    inventory = read(services.inventory)
    assert inventory is not None  # the configuration requires it
    return InventoryFiles(inventory, read(services.prices), read(services.expected_charges))


def read_file(path: Path) -> InventoryFile:
    """One of the reseller's files as it lies there. InventoryError when it cannot be read."""
    try:
        return InventoryFile(path, path.read_bytes())
    except OSError as error:
        raise InventoryError(f"{path}: cannot be read ({error.strerror}); correct 'services' in billing.yaml") from None


def parse_inventory(files: InventoryFiles, operator_codes: Sequence[str]) -> Inventory:
    """Check the files and keep the configured operators' rows. InventoryError names file, row, column and remedy."""
    warnings: list[str] = []
    path = files.services.path
    services = cells_of(files.services, SERVICES, warnings)
    prices = cells_of(files.prices, PRICES, warnings)
    charges = cells_of(files.charges, CHARGES, warnings)
    owners = _owners(services)
    prices = _attribute(prices, owners, files.prices)
    charges = _attribute(charges, owners, files.charges)

    unknown = sorted(set(services["operator_code"]) - set(operator_codes) - {""})
    for code in unknown:
        count = int((services["operator_code"] == code).sum())
        warnings.append(f"{path}: {count} services of {code} are left out; no such operator is configured")
    services, prices, charges = (table[~table["operator_code"].isin(unknown)] for table in (services, prices, charges))
    for file, table, rules in (
        (files.services, services, SERVICES), (files.prices, prices, PRICES), (files.charges, charges, CHARGES),
    ):  # fmt: skip
        if file is not None:
            refuse_faults(file, broken_rules(table, rules))
    charge_kinds = {"amount_ht": Kind.DECIMAL, "row": Kind.INTEGER}
    return Inventory(
        services=_services_table(services),
        prices=typed_table(prices.drop(columns="row"), {"valid_from": Kind.DATE, "monthly_price_ht": Kind.DECIMAL}),
        charges=typed_table(charges, charge_kinds).rename_columns({"row": "position"}),
        warnings=tuple(warnings),
    )


def cells_of(file: InventoryFile | None, rules: FileRules, warnings: list[str]) -> pd.DataFrame:
    """The file's cells as trimmed text, and `row` counting records after the header from 1."""
    if file is None:
        empty = {name: pd.Series(dtype="string[pyarrow]") for name in rules.columns}
        return pd.DataFrame({**empty, "row": pd.Series(dtype="int64")})
    path = file.path
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InventoryError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    records = _records(path, text)
    header = records[0] if records else []
    _check_header(path, header, rules)
    extra = [name for name in header if name not in rules.columns]
    if extra:
        warnings.append(f"{path}: unknown columns are not used: {', '.join(extra)}")
    body = records[1:]
    for row, record in enumerate(body, start=1):
        if len(record) != len(header):
            raise InventoryError(f"{path}: row {row}: {len(record)} fields, the header has {len(header)}; mend the row")
    columns = dict(zip(header, zip(*body, strict=True), strict=True)) if body else {}
    cells = {name: [cell.strip() for cell in columns.get(name, [""] * len(body))] for name in rules.columns}
    frame = pd.DataFrame({name: pd.array(values, dtype="string[pyarrow]") for name, values in cells.items()})
    frame["row"] = range(1, len(body) + 1)
    return frame


def _check_header(path: Path, header: list[str], rules: FileRules) -> None:
    missing = [name for name in rules.required if name not in header]
    if missing:
        raise InventoryError(f"{path}: column {missing[0]} is missing from the header; add it (names are exact)")
    twice = sorted({name for name in header if header.count(name) > 1 and name in rules.columns})
    if twice:
        raise InventoryError(f"{path}: column {twice[0]} stands twice in the header; remove one")


def _records(path: Path, text: str) -> list[list[str]]:
    """CSV records without blank lines."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[list[str]] = []
    try:
        records.extend(record for record in reader if record)
    except csv.Error as error:
        raise InventoryError(f"{path}: row {len(records)}: is not CSV ({error}); mend the quotes") from None
    return records


def _owners(frame: pd.DataFrame) -> dict[str, set[str]]:
    owners: dict[str, set[str]] = {}
    for service_id, code in zip(frame["service_id"], frame["operator_code"], strict=True):
        owners.setdefault(service_id, set()).add(code)
    return owners


def _attribute(frame: pd.DataFrame, owners: dict[str, set[str]], file: InventoryFile | None) -> pd.DataFrame:
    """Give every price or charge the operator of its service."""
    faults: list[Fault] = []
    codes = []
    for row, service_id in zip(frame["row"], frame["service_id"], strict=True):
        found = owners.get(service_id, set())
        if not found:
            problem = f"service {service_id!r} is not in the inventory; add it there or remove the row"
            faults.append(Fault(row, "service_id", problem))
        elif len(found) > 1:
            several = ", ".join(sorted(found))
            problem = f"service {service_id!r} stands under several operators ({several}); give each its own service_id"
            faults.append(Fault(row, "service_id", problem))
        codes.append(next(iter(found), ""))
    if file is not None:
        refuse_faults(file, faults)
    return frame.assign(operator_code=pd.array(codes, dtype="string[pyarrow]"))


def refuse_faults(file: InventoryFile, faults: Iterable[Fault]) -> None:
    """InventoryError with the first faults' rows and columns, if there is one."""
    found = sorted(faults)
    if not found:
        return
    shown = "; ".join(f"row {fault.row}, column {fault.column}: {fault.problem}" for fault in found[:_SHOWN_FAULTS])
    rest = f"; and {len(found) - _SHOWN_FAULTS} more" if len(found) > _SHOWN_FAULTS else ""
    raise InventoryError(f"{file.path}: {shown}{rest}")


def _services_table(frame: pd.DataFrame) -> pa.Table:
    frame = frame.assign(discount_percent=frame["discount_percent"].replace("", "0"))
    kinds = {
        "monthly_price_ht": Kind.DECIMAL,
        "discount_percent": Kind.DECIMAL,
        "resale_price_ht": Kind.DECIMAL,
        "activated_on": Kind.DATE,
        "terminated_on": Kind.DATE,
    }
    return typed_table(frame.drop(columns="row"), kinds)


def typed_table(frame: pd.DataFrame, kinds: dict[str, Kind]) -> pa.Table:
    """Checked text cells as typed columns; an empty cell is null."""
    arrays = {}
    for name in frame.columns:
        kind = kinds.get(name, Kind.TEXT)
        text = pa.array(frame[name].astype("string[pyarrow]"), from_pandas=True).cast(pa.string())
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        arrays[name] = _decimals(text) if kind is Kind.DECIMAL else text.cast(ARROW_TYPES[kind])
    return pa.table(arrays)


def _decimals(text: pa.Array) -> pa.Array:
    return pa.array([None if cell is None else Decimal(cell) for cell in text.to_pylist()], ARROW_TYPES[Kind.DECIMAL])
