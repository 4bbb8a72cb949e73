"""Which service lives through which story, and when. The stories themselves are stories.py.

Services come in blocks of 150, of which about 35 have a story spread over the three months of a quarter: 4 to 8 % of
the services are affected in a month at any scale. A block of 100 or more holds every story its operator can have.
"""

import datetime as dt
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from billing_pipeline.config import Proration
from billing_pipeline.periods import Period
from billing_pipeline.sandbox import stories as s
from billing_pipeline.sandbox.operators import SandboxOperator
from billing_pipeline.sandbox.scene import Bill, Shape
from billing_pipeline.sandbox.services import Keys, Service

BLOCK = 150
FULL_CAST = 100  # services from which a block holds every story
FIRST_ANCHOR = Period(2024, 1)
_REPLACED_ON = dt.date(2023, 11, 1)


def _replaced(service: Service, anchor: Period) -> Service:
    return service.under(terminated_on=_REPLACED_ON - dt.timedelta(days=1))


def _replacement(service: Service, anchor: Period) -> Service:
    return service.under(activated_on=_REPLACED_ON)


@dataclass(frozen=True, slots=True)
class Story:
    """`anchors` are the months of the quarter it may begin in; `shared_key` is one that both of a pair have.

    `files_only`: told by R189 alone, which has keys, dates and rows that can fail to be read. `late`: part of it
    comes in the next month's invoice. `whole_months_too`: shows under a convention that bills the start month in full.
    """

    name: str
    bill: Bill
    shape: Shape = s.steady
    repeats: bool = True
    every_month: bool = False
    files_only: bool = False
    late: bool = False
    whole_months_too: bool = True
    anchors: tuple[int, ...] = (0, 1, 2)
    shared_key: str = ""
    billed_by: str = "installed_offer_id"

    def happens(self, anchor: Period, period: Period) -> bool:
        distance = (period.year - anchor.year) * 12 + period.month - anchor.month
        if self.every_month or not self.repeats:
            return self.every_month or distance == 0
        return distance >= 0 and distance % 3 == 0


# In order of weight: a block of fewer than 100 services keeps the first ones. Pairs stand together.
_CAST: tuple[tuple[Story, ...], ...] = (
    (Story("NOT_BILLED", s.not_billed),),
    (Story("PRICE_MISMATCH", s.billed_too_dear),),
    (Story("UNKNOWN_SERVICE", s.stray_line),),
    (Story("DUPLICATE_LINE", s.billed_twice),),
    (Story("BILLED_AFTER_TERMINATION", s.billed_after_termination, s.ended_before, repeats=False),),
    (Story("ROUNDING", s.billed_one_cent_off),),
    (Story("STALE_PRICE", s.billed_at_the_old_price, s.price_rises, anchors=(1, 2)),),
    (Story("UNEXPECTED_CHARGE", s.one_off_nobody_ordered),),
    (Story("DISCOUNT_MISSING", s.discount_forgotten, s.discounted),),
    (Story("DUPLICATE_CREDITED", s.billed_twice_and_credited),),
    (Story("ENDED_INSIDE", s.billed_after_it_ended_inside, s.ends_inside, repeats=False),),
    (
        Story("BEGAN_INSIDE", s.billed_before_it_began_inside, s.starts_inside, repeats=False, whole_months_too=False),
    ),
    (Story("PRORATION", s.prorated_by_another_convention, s.starts_inside, repeats=False),),
    (Story("BILLED_BEFORE_ACTIVATION", s.billed_before_activation, s.starts_after, repeats=False),),
    (Story("UNEXPLAINED", s.option_nobody_ordered),),
    (Story("CURRENCY_MISMATCH", s.billed_in_another_currency),),
    (Story("CATCH_UP", s.caught_up_next_month, files_only=True, late=True, anchors=(0, 1)),),
    (Story("LINE_REJECTED", s.line_cannot_be_read, files_only=True),),
    (
        Story("AMBIGUOUS_SERVICE", s.line_of_two_services, files_only=True, shared_key="order_reference"),
        Story("AMBIGUOUS_ONE_OFF", s.one_off_of_two_services, files_only=True, shared_key="order_reference"),
    ),
    (
        Story("REPLACED", s.nothing_wrong, _replaced, files_only=True, shared_key="external_reference"),
        Story(
            "REPLACEMENT", s.nothing_wrong, _replacement, files_only=True, shared_key="external_reference",
            billed_by="external_reference",
        ),
    ),
    (Story("UNKNOWN_ONE_OFF", s.stray_one_off),),
    (Story("UNEXPECTED_USAGE", s.usage_nobody_ordered, files_only=True),),
    (Story("ONE_OFF_ROUNDING", s.access_fee_one_cent_off, s.starts_inside, repeats=False),),
    (Story("FOREIGN_CONTRACT", s.nothing_wrong, s.foreign_contract),),
    (Story("CURRENCY_EXTRA_LINE", s.extra_line_in_another_currency),),
    (Story("CURRENCY_SEVERAL", s.billed_in_two_other_currencies),),
    (Story("CURRENCY_AFTER_END", s.closed_billed_in_another_currency, s.ended_before, repeats=False),),
    (Story("CURRENCY_CONVERTED", s.charged_abroad_invoiced_at_home, files_only=True),),
    (Story("CLOSED_CREDITED", s.closed_billed_and_credited, s.ended_before, repeats=False),),
    (Story("CLOSED_ROUNDING", s.closed_credited_but_a_cent, s.ended_before, repeats=False),),
    (
        Story("CREDITED_LATER", s.billed_twice_and_credited_later, files_only=True, late=True, anchors=(0, 1)),
    ),
    (Story("FREE_OF_CHARGE", s.never_billed_and_rightly, s.free_of_charge, every_month=True),),
    (Story("SYMBOLIC_PRICE", s.never_billed_and_rightly, s.symbolic_price, every_month=True),),
    (Story("LINE_ARITHMETIC", s.unit_price_contradicts_total),),
    (Story("VAT_AMOUNT", s.too_much_vat, files_only=True),),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A story as one service lives it: from which month, and under which shared key."""

    story: Story
    anchor: Period
    shared_value: str = ""

    def cast(self, service: Service) -> Service:
        """The plain service as the story needs it."""
        shaped = self.story.shape(service, self.anchor)
        keys = shaped.keys
        if self.story.shared_key:
            keys = keys._replace(**{self.story.shared_key: self.shared_value})
        billed = Keys(**{self.story.billed_by: getattr(keys, self.story.billed_by)})
        return replace(shaped, keys=keys, billed_keys=billed)


def plan_block(seed: int, operator: SandboxOperator, block: int, scale: int) -> Mapping[int, Part]:
    """Index of the service → its part, for services `block * 150` and following of the operator's `scale`."""
    size = min(BLOCK, scale - block * BLOCK)
    cast = [group for group in _CAST if _suits(group, operator, scale)]
    room = sum(map(len, cast)) if size >= FULL_CAST else sum(map(len, cast)) * size // FULL_CAST
    rng = random.Random(f"{seed}/{operator.code}/block {block}")
    seats = rng.sample(range(size), min(room, size))
    parts: dict[int, Part] = {}
    for ordinal, group in enumerate(cast):
        if len(parts) + len(group) > len(seats):
            break
        shared = f"{operator.prefix}-LOT-{block:04d}-{ordinal:02d}"
        for story in group:
            anchor = FIRST_ANCHOR.shift(story.anchors[(ordinal + operator.slot + block) % len(story.anchors)])
            parts[block * BLOCK + seats[len(parts)]] = Part(story, anchor, shared)
    return parts


def _suits(group: tuple[Story, ...], operator: SandboxOperator, scale: int) -> bool:
    in_full = operator.proration in (Proration.FULL_START_MONTH, Proration.FULL_MONTH)
    for story in group:
        if story.files_only and not operator.states_r189:
            return False
        if in_full and not story.whole_months_too:
            return False
        # One unreadable row in a file of fewer than a hundred would make its collection incomplete.
        if story.name == "LINE_REJECTED" and scale < FULL_CAST:
            return False
    return True
