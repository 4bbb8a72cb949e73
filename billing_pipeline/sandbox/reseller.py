"""A French reseller, its services, what its operators bill it and where they are wrong: generated, never stored.

`generate_reseller` is a pure function of its arguments, and what it says about one operator and period is the same
whichever others are asked for. Serving it is netwo.py and orange.py, writing it to a folder workspace.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing_pipeline.errors import UsageError
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.billing import Charge, ExpectedCharge, expected_charges, ordinary_charges
from billing_pipeline.sandbox.contract_price import expected_amount
from billing_pipeline.sandbox.invoicing import Invoice, line_reference, make_invoices, reports_of
from billing_pipeline.sandbox.operators import SandboxOperator, choose_operators
from billing_pipeline.sandbox.plan import BLOCK, Part, plan_block
from billing_pipeline.sandbox.scene import Outcome, Scene, Verdict
from billing_pipeline.sandbox.services import Service, draw_service

DEFAULT_SEED = 20240301
DEFAULT_SCALE = 150
DEFAULT_PERIODS: tuple[str, ...] = ("2024-01", "2024-02", "2024-03")


@dataclass(frozen=True, slots=True)
class Injection:
    """One thing that is not plainly right, and what the verdict on it should be once all periods are collected.

    `subject` is the item (`service:<service_id>`, `line:<invoice_id>:<line>`) or `invoice:<invoice_id>` for a finding,
    whose code stands in `reason` while `status` and `difference` are None. `lines` are `<invoice_id>:<line>` with the
    hub's lineId, or for R189 the six-digit row number that ends our line_id. `difference` is billed less due.
    """

    operator_code: str
    period: Period
    story: str
    subject: str
    service_id: str | None
    lines: tuple[str, ...]
    status: str | None
    reason: str | None
    difference: Decimal | None


@dataclass(frozen=True, slots=True)
class Reseller:
    """All of it, in fixed order: services by number, invoices as issued, injections by operator, period, service."""

    seed: int
    scale: int
    periods: tuple[Period, ...]
    operators: tuple[SandboxOperator, ...]
    services: Mapping[str, tuple[Service, ...]]
    expected_charges: tuple[ExpectedCharge, ...]
    invoices: Mapping[tuple[str, Period], tuple[Invoice, ...]]
    injected: tuple[Injection, ...]


def generate_reseller(
    *,
    seed: int = DEFAULT_SEED,
    scale: int = DEFAULT_SCALE,
    periods: Sequence[str] = DEFAULT_PERIODS,
    operators: Sequence[str] | None = None,
) -> Reseller:
    """`scale` services for each operator (None: the demo's), billed for `periods` (YYYY-MM). UsageError for a bad argument."""
    if scale < 1:
        raise UsageError(f"a scale of {scale} leaves no service; give 1 or more")
    try:
        months = tuple(sorted({Period.parse(text) for text in periods}))
    except ValueError as error:
        raise UsageError(str(error)) from None
    chosen = choose_operators(operators)
    books = {operator.code: _Books(seed, operator, scale, months) for operator in chosen}
    return Reseller(
        seed=seed,
        scale=scale,
        periods=months,
        operators=chosen,
        services={code: book.services for code, book in books.items()},
        expected_charges=tuple(charge for book in books.values() for charge in book.expected()),
        invoices={(code, period): book.invoices[period] for code, book in books.items() for period in months},
        injected=tuple(injection for book in books.values() for injection in book.injections()),
    )


class _Books:
    """One operator's services and invoices; and the verdicts on them, which need all periods' lines to be named."""

    def __init__(self, seed: int, operator: SandboxOperator, scale: int, periods: tuple[Period, ...]) -> None:
        self._operator = operator
        self._periods = periods
        self._parts: dict[int, Part] = {}
        for block in range((scale + BLOCK - 1) // BLOCK):
            self._parts.update(plan_block(seed, operator, block, scale))
        self.services = tuple(self._draw(seed, index) for index in range(scale))
        self._outcomes: dict[tuple[int, Period], Outcome] = {}
        self._verdicts: list[tuple[Period, Part, Service, Verdict]] = []
        self.invoices = {period: make_invoices(operator, period, self._charges(period)) for period in periods}

    def _draw(self, seed: int, index: int) -> Service:
        part = self._parts.get(index)
        service = draw_service(seed, self._operator, index, plain=part is not None)
        return service if part is None else part.cast(service)

    def expected(self) -> Iterator[ExpectedCharge]:
        for period in self._periods:
            for service in self.services:
                yield from expected_charges(service, period)

    def _charges(self, period: Period) -> Iterator[Charge]:
        """The lines of one month's invoices. The verdicts of the stories that happen in it are kept on the way."""
        for index, service in enumerate(self.services):
            part = self._parts.get(index)
            if part is None:
                yield from ordinary_charges(service, period, self._operator.proration)
                continue
            if outcome := self._outcome(part, service, period):
                yield from outcome.charges
                self._verdicts.extend((period, part, service, verdict) for verdict in outcome.verdicts)
            else:
                yield from ordinary_charges(service, period, self._operator.proration)
            if part.story.late and (earlier := self._outcome(part, service, period.shift(-1))):
                yield from earlier.later

    def _outcome(self, part: Part, service: Service, period: Period) -> Outcome | None:
        """What the story makes of the month, told once: a line that comes later is the one its verdict is about."""
        if not part.story.happens(part.anchor, period):
            return None
        if part.story.every_month and service.terms.active_days(period) is None:
            return None
        key = (service.number, period)
        if key not in self._outcomes:
            self._outcomes[key] = part.story.bill(Scene(self._operator, service, period))
        return self._outcomes[key]

    def injections(self) -> list[Injection]:
        places = {id(charge): place for charge, place in self._places()}
        found = [self._injection(*told, places) for told in self._verdicts]
        for period, invoices in self.invoices.items():
            for invoice in invoices:
                if invoice.finding:
                    found.append(self._finding(period, invoice.finding, invoice.finding, invoice.invoice_id, ()))
        found.extend(self._quarters_billed_before())
        return sorted(found, key=lambda injection: (injection.period, injection.subject, injection.story))

    def _places(self) -> Iterator[tuple[Charge, tuple[str, str]]]:
        for invoices in self.invoices.values():
            for report in reports_of(self._operator, invoices):
                row = 0
                for invoice in report:
                    for position, charge in enumerate(invoice.charges, start=1):
                        row += 1
                        yield charge, (invoice.invoice_id, line_reference(self._operator, position, row))

    def _injection(
        self, period: Period, part: Part, service: Service, verdict: Verdict, places: Mapping[int, tuple[str, str]]
    ) -> Injection:
        code, story = self._operator.code, part.story.name
        if verdict.charge is not None:
            invoice_id, line = places[id(verdict.charge)]
            named = (f"{invoice_id}:{line}",)
            if verdict.finding:
                return self._finding(period, story, verdict.finding, invoice_id, named)
            known = verdict.charge.keys == service.billed_keys
            return Injection(
                code, period, story, f"line:{invoice_id}:{line}", service.service_id if known else None, named,
                verdict.status, verdict.reason, verdict.difference,
            )  # fmt: skip
        status, reason, difference = verdict.status, verdict.reason, verdict.difference
        missing = [charge for charge in verdict.billed if id(charge) not in places]
        if missing and verdict.until_then and difference is not None:
            status, reason = verdict.until_then
            difference -= sum(charge.amount for charge in missing)
        lines = tuple(":".join(places[id(charge)]) for charge in verdict.billed if id(charge) in places)
        subject = f"service:{service.service_id}"
        return Injection(code, period, story, subject, service.service_id, lines, status, reason, difference)

    def _finding(self, period: Period, story: str, finding: str, invoice_id: str, lines: tuple[str, ...]) -> Injection:
        subject = f"invoice:{invoice_id}"
        return Injection(self._operator.code, period, story, subject, None, lines, None, finding, None)

    def _quarters_billed_before(self) -> Iterator[Injection]:
        """A quarter's line is in its first month's invoice; who does not ask for that month has no line for the rest."""
        for period in self._periods:
            if period.shift(-((period.month - 1) % 3)) in self._periods:
                continue
            for service in self.services:
                if service.quarterly:
                    due = expected_amount(service.terms, period, self._operator.proration)
                    yield Injection(
                        self._operator.code, period, "QUARTER_BILLED_BEFORE", f"service:{service.service_id}",
                        service.service_id, (), "UNMATCHED", "NOT_BILLED", -due,
                    )  # fmt: skip
