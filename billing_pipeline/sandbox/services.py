"""The reseller's services: one access each, drawn from its own seed. What is billed for them is billing.py.

Each service has its own random generator, seeded with its operator and index, so that no other service, operator or
period asked for can change it.
"""

import datetime as dt
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from billing_pipeline.money import round_half_up
from billing_pipeline.sandbox.contract_price import Terms
from billing_pipeline.sandbox.operators import SLOTS, SandboxOperator
from billing_pipeline.sandbox.places import (
    COMMUNES,
    CONTACTS,
    FIRMS,
    OFFERS,
    OVERSEAS,
    STREETS,
    Commune,
    Offer,
)  # fmt: skip

RISE_DAY = dt.date(2024, 2, 1)  # the operators' yearly revision
RENEGOTIATED_DAY = dt.date(2024, 3, 16)
INTERVENTION_CYCLE = 60  # one expected intervention per service and 60 months
_OFFER_WEIGHTS = [offer.weight for offer in OFFERS]


class Keys(NamedTuple):
    """The four keys a charge line can carry; an empty text where it carries none."""

    installed_offer_id: str = ""
    external_reference: str = ""
    serial_number: str = ""
    order_reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A contract with one operator. `billed_keys` are those of its keys the operator writes on its lines.

    `intervention_slot` is the month of the 60-month cycle with an expected intervention, -1 for never.
    """

    number: int
    operator_code: str
    offer: Offer
    commune: Commune
    imb: str
    pto: str
    address: str
    site_name: str
    contact: str
    phone: str
    customer_id: str
    currency: str
    terms: Terms
    keys: Keys
    billed_keys: Keys
    resale_price: Decimal | None
    quarterly: bool = False
    two_lines: bool = False
    intervention_slot: int = -1

    @property
    def service_id(self) -> str:
        return f"SVC-{self.terms.activated_on.year}-{self.number:05d}"

    @property
    def index(self) -> int:
        """Its place among the operator's services, from 0."""
        return self.number // SLOTS

    @property
    def description(self) -> str:
        return f"Accès {self.offer.technology} {self.offer.speed} - {self.imb}"

    def under(self, **changes: Any) -> "Service":
        """The same service under changed terms (fields of Terms)."""
        return replace(self, terms=replace(self.terms, **changes))


def draw_service(seed: int, operator: SandboxOperator, index: int, *, plain: bool) -> Service:
    """The operator's service number `index` (from 0).

    A plain one is a mainland FTTH access in euros, in service from 2022 or earlier on and open, at one price and
    without discount: what a story needs to show one error and no other.
    """
    rng = random.Random(f"{seed}/{operator.code}/{index}")
    number = index * SLOTS + operator.slot
    offer = OFFERS[rng.randrange(3)] if plain else rng.choices(OFFERS, _OFFER_WEIGHTS)[0]
    overseas = not plain and operator.states_r189 and rng.random() < 0.01
    commune = rng.choice(OVERSEAS if overseas else COMMUNES)
    price = rng.randrange(offer.lowest * 2 + 1, offer.highest * 2 + 1) * Decimal("0.50") - rng.choice(_ENDINGS)
    terms = _terms(rng, price, plain)
    keys = _keys(rng, operator, number, terms.activated_on.year)
    imb = f"IMB/{commune.insee}/{rng.choice('ABCDXZ')}/{rng.randrange(1000):03d}{rng.choice('ABCDE')}"
    street = f"{rng.randrange(1, 140)}, {rng.choice(STREETS)}"
    lasting = terms.activated_on.year < 2024 and terms.terminated_on is None and not terms.changes
    single_terms = lasting and terms.discount_percent == 0
    dice = rng.random()
    return Service(
        number=number,
        operator_code=operator.code,
        offer=offer,
        commune=commune,
        imb=imb,
        pto=f"{operator.prefix[:2]}-{rng.randrange(10000):04d}-{rng.randrange(16**4):04X}",
        address=f"{street}\nBâtiment {rng.choice('ABC')}, 3e étage" if rng.random() < 0.05 else street,
        site_name=rng.choice(FIRMS),
        contact=rng.choice(CONTACTS),
        phone=f"+33 5 56 {rng.randrange(100):02d} {rng.randrange(100):02d} {rng.randrange(100):02d}",
        customer_id=f"CUST-{index // 150 * 20 + rng.randrange(1, 21):03d}",
        currency="EUR",
        terms=terms,
        keys=keys,
        billed_keys=_billed_keys(rng, keys),
        resale_price=_resale_price(rng, price),
        quarterly=not plain and operator.states_r189 and single_terms and dice < 0.04,
        two_lines=not plain and single_terms and dice >= (0.60 if offer.technology == "FTTH" else 0.04),
        intervention_slot=-1 if plain else rng.randrange(INTERVENTION_CYCLE),
    )


_ENDINGS = (Decimal("0.00"), Decimal("0.01"), Decimal("0.10"), Decimal("0.25"))


def _terms(rng: random.Random, price: Decimal, plain: bool) -> Terms:
    """About 4 % begin and 3 % end in the first quarter of 2024, 1 % ended before, 8 % have a discount."""
    activated = dt.date(2019, 1, 7) + dt.timedelta(days=rng.randrange(1090))
    if plain:
        return Terms(price=price, activated_on=activated)
    life, bargain, revision = rng.random(), rng.random(), rng.random()
    day = dt.date(2024, 1, 1) + dt.timedelta(days=rng.randrange(91))
    discount = Decimal(rng.choice((5, 10, 15))) if bargain < 0.08 else Decimal(0)
    if life < 0.04:
        return Terms(price=price, discount_percent=discount, activated_on=day)
    if life < 0.08:
        end = day if life < 0.07 else dt.date(2023, 10, 31)
        return Terms(price=price, discount_percent=discount, activated_on=activated, terminated_on=end)
    changes: tuple[tuple[dt.date, Decimal], ...] = ()
    if revision < 0.06:
        changes = ((RISE_DAY, round_half_up(price * Decimal("1.03"))),)
    elif revision < 0.07:
        changes = ((RENEGOTIATED_DAY, round_half_up(price * Decimal("0.95"))),)
    return Terms(price=price, changes=changes, discount_percent=discount, activated_on=activated)


def _keys(rng: random.Random, operator: SandboxOperator, number: int, year: int) -> Keys:
    return Keys(
        installed_offer_id=f"OFR-{operator.prefix}{number:06d}",
        external_reference=f"NEO/{operator.prefix}/{number:06d}",
        serial_number=f"SN{operator.prefix}{rng.randrange(16**4):04X}{number:06d}",
        order_reference=f"CMD-{year}-{operator.prefix}{number:06d}",
    )


def _billed_keys(rng: random.Random, keys: Keys) -> Keys:
    """Mostly one key per line, the same from month to month; rarely two."""
    tier = rng.choices(range(4), (70, 14, 8, 8))[0]
    second = rng.randrange(4) if rng.random() < 0.05 else tier
    return Keys(*(key if place in (tier, second) else "" for place, key in enumerate(keys)))


def _resale_price(rng: random.Random, price: Decimal) -> Decimal:
    """What the customer pays: 20 to 60 % more, in steps of ten cents."""
    return round_half_up(price * rng.randrange(120, 161) / 100, Decimal("0.1")).quantize(Decimal("0.01"))
