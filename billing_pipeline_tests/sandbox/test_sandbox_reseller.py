"""The generated reseller: reproducible, complete in its errors, and right everywhere else."""

import dataclasses
import subprocess
import sys
import time
from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction

import pytest

from billing_pipeline.config import ChargeType, Proration
from billing_pipeline.errors import UsageError
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.billing import Charge, ExpectedCharge
from billing_pipeline.sandbox.contract_price import Terms, expected_amount
from billing_pipeline.sandbox.invoicing import reports_of
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.services import Service
from billing_pipeline.sandbox.workspace import workspace_files

BOTH_SOURCES = {
    "NOT_BILLED", "ROUNDING", "DUPLICATE_LINE", "BILLED_AFTER_TERMINATION", "BILLED_BEFORE_ACTIVATION", "PRORATION",
    "STALE_PRICE", "DISCOUNT_MISSING", "PRICE_MISMATCH", "UNEXPLAINED", "UNKNOWN_SERVICE", "UNEXPECTED_CHARGE",
    "CURRENCY_MISMATCH", "LINE_ARITHMETIC",
}  # fmt: skip
# Every reason and finding; which source can show one differs.
REASONS = {
    "ORANGE": BOTH_SOURCES | {"LINE_REJECTED", "AMBIGUOUS_SERVICE", "VAT_AMOUNT", "INVOICE_FOOTING"},
    "SFR": BOTH_SOURCES | {"INVOICE_FOOTING"},
    "AXIONE": BOTH_SOURCES | {"LINE_REJECTED", "AMBIGUOUS_SERVICE", "VAT_AMOUNT"},
    "ALTITUDE": BOTH_SOURCES | {"LINE_REJECTED", "AMBIGUOUS_SERVICE", "VAT_AMOUNT"},
}


@pytest.fixture(scope="module", params=[100, 150, 310])
def reseller(request: pytest.FixtureRequest) -> Reseller:
    return generate_reseller(scale=request.param, operators=list(REASONS))


def _bytes(reseller: Reseller) -> dict[str, bytes]:
    return dict(workspace_files(reseller, "http://127.0.0.1:1"))


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    # Another process has other string hashes: an order that leans on a set would show.
    program = (
        "import hashlib; from billing_pipeline.sandbox.reseller import generate_reseller as g;"
        "from billing_pipeline.sandbox.workspace import workspace_files as w;"
        "print(hashlib.sha256(repr([*w(g(scale=100), 'http://x')]).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_another_seed_is_another_reseller() -> None:
    assert _bytes(generate_reseller(seed=1))["services.csv"] != _bytes(generate_reseller(seed=2))["services.csv"]


def test_asking_for_one_operator_and_month_does_not_change_them() -> None:
    whole = generate_reseller(operators=list(REASONS))
    part = generate_reseller(operators=["ALTITUDE"], periods=["2024-02"])
    name = "inbox/altitude/R189_ALTITUDE_202402.csv"
    assert _bytes(part)[name] == _bytes(whole)[name]
    services = _bytes(part)["services.csv"].splitlines()[1:]
    assert services == [line for line in _bytes(whole)["services.csv"].splitlines() if b",ALTITUDE," in line]


def test_no_promised_error_is_missing(reseller: Reseller) -> None:
    for code, promised in REASONS.items():
        injected = {one.reason for one in reseller.injected if one.operator_code == code}
        assert promised <= injected, code


@pytest.mark.parametrize(
    ("prefix", "status", "reason"),
    [
        ("service:", "MATCHED", "ROUNDING"),
        ("service:", "MATCHED", None),
        ("service:", "UNMATCHED", "NOT_BILLED"),
        ("service:", "UNMATCHED", "BILLED_AFTER_TERMINATION"),
        ("service:", "UNMATCHED", "BILLED_BEFORE_ACTIVATION"),
        ("service:", "DISCREPANCY", "BILLED_AFTER_TERMINATION"),
        ("service:", "DISCREPANCY", "CURRENCY_MISMATCH"),
        ("line:", "DISCREPANCY", "CURRENCY_MISMATCH"),
        ("line:", "UNMATCHED", "UNKNOWN_SERVICE"),
        ("line:", "UNMATCHED", "AMBIGUOUS_SERVICE"),
        ("line:", "DISCREPANCY", "UNEXPECTED_CHARGE"),
        ("line:", "MATCHED", "ROUNDING"),
    ],
)
def test_no_row_of_the_verdict_table_is_missing(prefix: str, status: str, reason: str | None) -> None:
    injected = generate_reseller(scale=100).injected
    found = [one for one in injected if one.subject.startswith(prefix) and (one.status, one.reason) == (status, reason)]
    assert found


@pytest.mark.parametrize("scale", [150, 320, 900])
def test_the_errors_stay_the_exception(scale: int) -> None:
    reseller = generate_reseller(scale=scale)
    services = reseller.scale * len(reseller.operators) * len(reseller.periods)
    affected = {(one.subject, one.period) for one in reseller.injected if one.reason}
    assert 0.04 <= len(affected) / services <= 0.08


def test_unreadable_rows_never_make_a_file_incomplete(reseller: Reseller) -> None:
    seen = 0
    for invoices in reseller.invoices.values():
        charges = [charge for invoice in invoices for charge in invoice.charges]
        unreadable = sum(bool(charge.unreadable) for charge in charges)
        assert unreadable * 100 < len(charges)
        seen += unreadable
    assert seen


def test_a_small_reseller_has_no_unreadable_row() -> None:
    small = generate_reseller(scale=20)
    assert not any(c.unreadable for found in small.invoices.values() for i in found for c in i.charges)


def _due_day_by_day(terms: Terms, period: Period, convention: Proration) -> Decimal:
    """The proration table of the contract, one day at a time in fractions."""
    days = [period.first_day.replace(day=number) for number in range(1, period.days + 1)]
    active = [d for d in days if terms.activated_on <= d and (terms.terminated_on is None or d <= terms.terminated_on)]
    if not active:
        return Decimal("0.00")
    prices = [Fraction(terms.price_on(day)) for day in active]
    if convention is Proration.ACTUAL_DAYS:
        amount = sum(prices) / period.days
    elif convention is Proration.THIRTIETHS:
        amount = sum(prices) / (30 if len(active) < period.days else period.days)
    else:
        ends = terms.terminated_on is not None and Period.of(terms.terminated_on) == period
        none = convention is Proration.FULL_START_MONTH and ends and Period.of(terms.activated_on) != period
        amount = Fraction(0) if none else prices[0]
    cents = amount * (100 - Fraction(terms.discount_percent))
    return Decimal(int(cents * 2 + 1) // 2) / 100


@pytest.mark.parametrize("convention", list(Proration))
def test_what_is_due_is_the_sum_of_its_days(convention: Proration) -> None:
    services = [service for found in generate_reseller(scale=150).services.values() for service in found]
    for period in (Period(2023, 10), Period(2024, 1), Period(2024, 2), Period(2024, 3)):
        for service in services:
            due = expected_amount(service.terms, period, convention)
            assert due == _due_day_by_day(service.terms, period, convention), service.service_id


def _share(charge: Charge, period: Period) -> Decimal:
    """The line's part of the month; only a quarter spans several, in three equal parts."""
    if charge.days is None or not charge.quarterly:
        month = Period.of(charge.days[0]) if charge.days else charge.month
        return charge.amount if month == period else Decimal(0)
    first = Period.of(charge.days[0])
    return charge.amount / 3 if first <= period <= first.shift(2) else Decimal(0)


def _found(
    charge: Charge, services: tuple[Service, ...], period: Period, by_key: dict[str, list[Service]]
) -> list[Service]:
    if charge.service.operator_code == "SFR":
        return by_key.get(charge.service_id or "", [])
    for key in charge.keys:
        if key and key in by_key:
            active = [service for service in by_key[key] if service.terms.active_days(period)]
            return active if len(by_key[key]) > 1 and len(active) == 1 else by_key[key]
    return []


@pytest.mark.parametrize(
    ("scale", "months"), [(7, 3), (20, 3), (99, 3), (100, 3), (150, 3), (310, 3), (220, 8)], ids=str
)
def test_what_is_not_injected_is_right_and_what_is_differs_as_recorded(scale: int, months: int) -> None:
    reseller = generate_reseller(scale=scale, periods=[f"2024-{month:02d}" for month in range(1, months + 1)])
    for operator in reseller.operators:
        services = reseller.services[operator.code]
        by_key: dict[str, list[Service]] = defaultdict(list)
        for service in services:
            for key in {service.service_id, *service.keys}:
                by_key[key].append(service)
        lines = [
            charge for (code, _), found in reseller.invoices.items() if code == operator.code
            for invoice in found for charge in invoice.charges
        ]  # fmt: skip
        for period in reseller.periods:
            billed: defaultdict[str, Decimal] = defaultdict(Decimal)
            for charge in lines:
                found = _found(charge, services, period, by_key)
                if charge.unreadable or len(found) != 1 or charge.charge_type is not ChargeType.RECURRING:
                    continue
                currency = charge.converted[1] if charge.converted else charge.currency
                if currency == found[0].currency:
                    share = _share(charge, period)
                    billed[found[0].service_id] += charge.converted[0] if share and charge.converted else share
            injected = {
                one.subject.removeprefix("service:"): one.difference
                for one in reseller.injected
                if (one.operator_code, one.period) == (operator.code, period) and one.subject.startswith("service:")
            }
            for service in services:
                if service.service_id in injected and injected[service.service_id] is None:
                    continue
                difference = billed[service.service_id] - expected_amount(service.terms, period, operator.proration)
                assert difference == injected.get(service.service_id, 0), (period, service.service_id)


def test_one_off_charges_not_injected_are_the_expected_ones(reseller: Reseller) -> None:
    injected = {one.subject for one in reseller.injected}
    billed: Counter[tuple[str, Decimal]] = Counter()
    for invoices in reseller.invoices.values():
        row = 0
        for invoice in invoices:
            for position, charge in enumerate(invoice.charges, start=1):
                row += 1
                line = f"LN-{position:03d}" if invoice.operator.code == "SFR" else f"{row:06d}"
                one_off = charge.charge_type is not ChargeType.RECURRING
                if one_off and f"line:{invoice.invoice_id}:{line}" not in injected:
                    billed[charge.service_id or "", charge.amount] += 1
    rounded = {(one.service_id, one.period) for one in reseller.injected if one.story == "ONE_OFF_ROUNDING"}

    def exact(due: ExpectedCharge) -> bool:
        return (due.service_id, due.period) not in rounded

    expected = Counter((due.service_id, due.amount) for due in reseller.expected_charges if exact(due))
    assert billed == expected
    assert billed


def test_no_two_services_share_an_id_across_operators(reseller: Reseller) -> None:
    numbers = Counter(service.number for found in reseller.services.values() for service in found)
    identifiers = Counter(service.service_id for found in reseller.services.values() for service in found)
    assert max(numbers.values()) == max(identifiers.values()) == 1
    assert len(identifiers) == len(REASONS) * reseller.scale


def test_the_injected_difference_follows_what_was_asked_for() -> None:
    """A line that comes a month later is missing for whoever does not collect that month."""
    early = generate_reseller(periods=["2024-01"], operators=["AXIONE", "ALTITUDE"])
    for one in early.injected:
        if one.story == "CATCH_UP":
            assert (one.status, one.reason) == ("UNMATCHED", "NOT_BILLED")
            assert one.difference is not None
            assert one.difference < 0
    assert any(one.story in ("CATCH_UP", "CREDITED_LATER") and one.status != "MATCHED" for one in early.injected)
    late = generate_reseller(periods=["2024-02"], operators=["AXIONE"])
    assert any(one.story == "QUARTER_BILLED_BEFORE" and one.reason == "NOT_BILLED" for one in late.injected)


def test_every_amount_is_a_decimal_in_cents(reseller: Reseller) -> None:
    for invoices in reseller.invoices.values():
        for invoice in invoices:
            for charge in invoice.charges:
                for amount in (charge.amount, charge.gross, charge.tax, invoice.total_ht, invoice.total_ttc):
                    assert isinstance(amount, Decimal)
                    assert amount.as_tuple().exponent == -2


def test_a_line_that_states_a_discount_states_one_that_explains_it(reseller: Reseller) -> None:
    wrong = {line for one in reseller.injected if one.reason == "LINE_ARITHMETIC" for line in one.lines}
    contradictions = 0
    for (code, _), invoices in reseller.invoices.items():
        if code == "SFR":
            continue
        for charge in (charge for invoice in invoices for charge in invoice.charges):
            discount = charge.gross - charge.amount
            contradictions += abs(charge.gross * charge.discount_percent / 100 - discount) > Decimal("0.01")
    assert contradictions == len([line for line in wrong if not line.startswith("INV-SFR")])


def test_a_reseller_cannot_be_changed_behind_the_servers_back() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        generate_reseller(scale=5).scale = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"scale": 0}, "0"), ({"periods": ["2024-13"]}, "2024-13"), ({"operators": ["FREE"]}, "FREE")],
)
def test_a_bad_argument_is_named(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        generate_reseller(**arguments)  # type: ignore[arg-type]


def test_the_demo_does_not_wait_for_its_data() -> None:
    start = time.perf_counter()
    generate_reseller()
    assert time.perf_counter() - start < 1


def test_the_sandbox_starts_without_the_heavy_imports() -> None:
    program = (
        "import sys, billing_pipeline.sandbox, billing_pipeline.sandbox.app, billing_pipeline.sandbox.workspace;"
        "print([name for name in ('pandas', 'ibis', 'dagster', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_demo_plays_three_operators_in_two_dialects() -> None:
    operators = generate_reseller(scale=5).operators
    assert len(operators) == 3
    assert len({operator.dialect.decimal for operator in operators if operator.states_r189}) == 2


def test_a_large_month_comes_in_reports_below_the_apis_limit() -> None:
    reseller = generate_reseller(scale=4300, operators=["ORANGE"], periods=["2024-03"])
    (invoices,) = reseller.invoices.values()
    reports = list(reports_of(reseller.operators[0], invoices))
    assert len(reports) > 1
    assert [invoice for report in reports for invoice in report] == list(invoices)
    # Rows are counted file by file, as the pipeline numbers them.
    rows = {line.partition(":")[0]: int(line.partition(":")[2]) for one in reseller.injected for line in one.lines}
    for report in reports:
        lines = sum(invoice.line_count for invoice in report)
        numbered = [rows[invoice.invoice_id] for invoice in report if invoice.invoice_id in rows]
        assert numbered
        assert max(numbered) <= lines <= 4000
