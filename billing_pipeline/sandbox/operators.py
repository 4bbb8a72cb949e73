"""The operators the sandbox can play: their source, their contract terms and their way of writing R189 files.

Every operator has its own slot, which numbers its services apart from the others' and staggers its stories, so that
what one operator does never depends on which others are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from billing_pipeline.config import ChargeMonthFormat, DateFormat, Proration
from billing_pipeline.errors import UsageError
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.r189_writer import Dialect

SLOTS = 4  # how many operators share the numbering of services; a slot is 0 to 3


@dataclass(frozen=True, slots=True)
class SandboxOperator:
    """`prefix` stands in its references, `folder` is its drop folder under inbox/ (r189_files only)."""

    code: str
    name: str
    prefix: str
    slot: int
    source: Literal["netwo", "r189_files", "orange_b2b"]
    proration: Proration
    folder: str = ""
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def states_r189(self) -> bool:
        """Its charges come as R189 reports, from a folder or an API; else as the hub's invoices."""
        return self.source != "netwo"

    def file_name(self, period: Period) -> str:
        """Axione compresses one month of each quarter, the way deliveries change without notice."""
        suffix = ".csv.gz" if self.file_dialect(period).gzip else ".csv"
        return f"R189_{self.code}_{period.year:04d}{period.month:02d}{suffix}"

    def file_dialect(self, period: Period) -> Dialect:
        return replace(self.dialect, gzip=self.code == "AXIONE" and period.month % 3 == 2)


_FRENCH = Dialect(
    encoding="windows-1252", newline="\r\n", decimal=",", group=" ", date_format=DateFormat.DAY_FIRST,
    charge_month_format=ChargeMonthFormat.MONTH_FIRST, tax_rate="20%", language="fr", unsigned_credits=True,
)  # fmt: skip
ORANGE = SandboxOperator("ORANGE", "Orange", "ORA", 0, "orange_b2b", Proration.FULL_START_MONTH, dialect=_FRENCH)
SFR = SandboxOperator("SFR", "SFR", "SFR", 1, "netwo", Proration.ACTUAL_DAYS)
AXIONE = SandboxOperator("AXIONE", "Axione", "AXI", 2, "r189_files", Proration.THIRTIETHS, folder="axione")
ALTITUDE = SandboxOperator(
    "ALTITUDE", "Altitude", "ALT", 3, "r189_files", Proration.FULL_START_MONTH, folder="altitude", dialect=_FRENCH
)
KNOWN_OPERATORS: tuple[SandboxOperator, ...] = (ORANGE, SFR, AXIONE, ALTITUDE)
# Who plays when nobody is named.
DEMO_OPERATORS: tuple[SandboxOperator, ...] = (ORANGE, SFR, AXIONE)


def choose_operators(codes: Sequence[str] | None) -> tuple[SandboxOperator, ...]:
    """The operators of these codes in their fixed order, the demo's for None. UsageError names an unknown one."""
    known = {operator.code: operator for operator in KNOWN_OPERATORS}
    for code in codes or ():
        if code not in known:
            raise UsageError(f"the sandbox plays no operator {code!r}; it knows {', '.join(known)}")
    if codes is None:
        return DEMO_OPERATORS
    return tuple(operator for operator in KNOWN_OPERATORS if operator.code in codes)
