"""The stage for a story: one service in one month, the lines it could be billed by, and the verdict they would earn.

What goes wrong on it is stories.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from billing_pipeline.config import ChargeType
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.billing import Charge, ordinary_charges, recurring_charge
from billing_pipeline.sandbox.contract_price import expected_amount
from billing_pipeline.sandbox.operators import SandboxOperator
from billing_pipeline.sandbox.services import Service


@dataclass(frozen=True, slots=True)
class Verdict:
    """What reconciliation should say. `charge` is the line of a line item; None means the service's own item.

    `billed` are the recurring lines of a service's item. `finding` instead of a status: a contradiction in the
    invoice that holds `charge`, which changes no verdict. `until_then` are status and reason while lines of the next
    month's invoice are not collected.
    """

    status: str | None
    reason: str | None
    difference: Decimal | None
    charge: Charge | None = None
    billed: tuple[Charge, ...] = ()
    finding: str | None = None
    until_then: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The lines in the invoice of the story's month, those that come in the next month's, and the verdicts."""

    charges: list[Charge]
    verdicts: list[Verdict]
    later: list[Charge] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scene:
    """One service in the month its story happens, with the lines it could be billed by."""

    operator: SandboxOperator
    service: Service
    period: Period

    @property
    def due(self) -> Decimal:
        return expected_amount(self.service.terms, self.period, self.operator.proration)

    @property
    def ordinary(self) -> list[Charge]:
        return ordinary_charges(self.service, self.period, self.operator.proration)

    @property
    def one_offs(self) -> list[Charge]:
        return [charge for charge in self.ordinary if charge.charge_type is not ChargeType.RECURRING]

    @property
    def line(self) -> Charge:
        """The one recurring line the contract makes due."""
        return self.bill(self.due)

    @property
    def full_month(self) -> Decimal:
        """Due if the service were active all month."""
        return expected_amount(self.open_ended.terms, self.period, self.operator.proration)

    @property
    def open_ended(self) -> Service:
        return self.service.under(activated_on=self.period.shift(-1).first_day, terminated_on=None)

    def bill(self, amount: Decimal, description: str = "", currency: str = "") -> Charge:
        return recurring_charge(
            self.service, self.period, amount, self.operator.proration, description=description, currency=currency
        )

    def bill_all_month(self, currency: str = "") -> Charge:
        """A full month, whatever days the service has in it."""
        whole = (self.period.first_day, self.period.last_day)
        return recurring_charge(
            self.service, self.period, self.full_month, self.operator.proration, currency=currency, days=whole
        )

    def service_item(self, status: str, reason: str | None, *billed: Charge) -> Verdict:
        """The service's item; the difference is what its lines bill less what is due."""
        total = sum((charge.amount for charge in billed), Decimal("0.00"))
        return Verdict(status, reason, total - self.due, billed=billed)


Shape = Callable[[Service, Period], Service]
Bill = Callable[[Scene], Outcome]
