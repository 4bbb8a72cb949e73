"""What a request body of the customer invoicing API may hold, after its published OpenAPI 1.90.0. Checks, no state.

Money is whole cents and time whole Unix seconds here, though the OpenAPI says only `number`: a fraction of either is a
caller's mistake, and this counterpart says so. Not served: a discount on the whole document and prices including tax.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Check = Callable[[Any, str], None]
LOCALES = ("fr", "en", "de", "it", "nl", "pt", "es")
CURRENCIES = (
    "EUR", "GBP", "CHF", "USD", "AUD", "CAD", "JPY", "CNH", "CZK", "DKK", "BGN", "PLN", "HUF", "RON", "SEK", "NOK",
    "TRY", "BRL", "HKD", "ILS", "INR", "KRW", "MXN",
)  # fmt: skip
PAYMENT_DELAYS = (
    "at_reception", "end_of_month", "seven_days", "ten_days", "fifteen_days", "thirty_days",
    "thirty_days_end_of_month", "forty_five_days", "forty_five_days_end_of_month", "sixty_days",
    "sixty_days_end_of_month", "ninety_days", "ninety_days_end_of_month", "one_hundred_and_twenty_days", "other",
)  # fmt: skip
# VAT code → rate in hundredths of a percent.
VAT_RATES = {
    "FR_210": 210, "FR_550": 550, "FR_850": 850, "FR_1000": 1000, "FR_2000": 2000, "FR_00HT": 0, "FR_00UE": 0,
    "FR_0HUE": 0,
}  # fmt: skip
UNITS = (
    "unit", "gram", "hour", "day", "week", "fixed_rate", "year", "character", "line", "license", "article", "month",
    "kilogram", "kilometer", "liter", "batch", "meter", "square_meter", "cubic_meter", "linear_meter", "person",
    "ton", "word", "page", "leaflet", "paragraph", "minute", "overnight_stay",
)  # fmt: skip
PRODUCT_TYPES = (
    "sale_of_goods", "service_delivery", "commercial_or_craft_services", "sale_of_manufactured_goods", "disbursement",
)  # fmt: skip
VAT_MENTIONS = (
    "not_subject", "second_hand_good", "art_object", "collection_antique", "travel_agency", "vat_not_applicable",
    "vat_not_applicable_2", "vat_exemption", "vat_exemption_eu_sale", "vat_exemption_eu_service",
    "vat_construction", "vat_psychologist", "vat_psychologist_2", "vat_reverse_charge", "vat_reverse_charge_2",
    "vat_reverse_charge_3", "vat_reverse_charge_4", "vat_reduced_rate", "vat_reduced_rate_2",
    "vat_article_261c_cgi", "vat_exemption_294_cgi",
)  # fmt: skip
PAYMENT_METHODS = (
    "transfer", "direct_debit", "credit_card", "cheque", "universal_employment_service_cheque", "cash", "paypal",
    "stripe", "other",
)  # fmt: skip
# From 2000 to 2100: a time in milliseconds, or a date as a number, falls outside.
_EARLIEST, _LATEST = 946_684_800, 4_102_444_800


class BadBody(ValueError):
    """`param` is the path of the value at fault (`lines[0].unitPrice`), the message says what it must be."""

    def __init__(self, param: str, message: str, code: str = "invalid_parameter") -> None:
        super().__init__(f"{param}: {message}" if param else message)
        self.param = param
        self.code = code


def _text(value: Any, param: str) -> None:
    if not isinstance(value, str):
        raise BadBody(param, "must be a text")


def _said(value: Any, param: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise BadBody(param, "must be a text that is not empty")


def _flag(value: Any, param: str) -> None:
    if not isinstance(value, bool):
        raise BadBody(param, "must be true or false")


def _cents(value: Any, param: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadBody(param, "must be a whole number of cents")


def _quantity(value: Any, param: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value <= 0:
        raise BadBody(param, "must be a number above 0")


def _seconds(value: Any, param: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not _EARLIEST <= value < _LATEST:
        raise BadBody(param, "must be a time in whole Unix seconds between 2000 and 2100")


def _one_of(*values: str) -> Check:
    def check(value: Any, param: str) -> None:
        if value not in values:
            raise BadBody(param, f"must be one of {', '.join(values)}")

    return check


def _or_null(check: Check) -> Check:
    return lambda value, param: None if value is None else check(value, param)


def _members(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """A JSON object with these members, and no others."""
    checks = {**required, **optional}

    def check(value: Any, param: str) -> None:
        at = f"{param}." if param else ""
        if not isinstance(value, dict):
            raise BadBody(param, "must be a JSON object")
        for name in required:
            if name not in value:
                raise BadBody(at + name, "is required", "missing_parameter")
        for name, member in value.items():
            if name not in checks:
                raise BadBody(at + name, f"is not known; there are {', '.join(checks)}", "unknown_parameter")
            checks[name](member, at + name)

    return check


def _list_of(member: Check) -> Check:
    def check(value: Any, param: str) -> None:
        if not isinstance(value, list):
            raise BadBody(param, "must be a list")
        for index, one in enumerate(value):
            member(one, f"{param}[{index}]")

    return check


def _no_tax_included(value: Any, param: str) -> None:
    _flag(value, param)
    if value:
        raise BadBody(param, "the sandbox serves prices excluding tax only", "not_served")


def _discount_in_range(value: Any, param: str) -> None:
    _members({"mode": _one_of("PERCENTAGE", "AMOUNT"), "amount": _cents}, {})(value, param)
    if value["amount"] < 0 or (value["mode"] == "PERCENTAGE" and value["amount"] > 10_000):
        raise BadBody(f"{param}.amount", "must be from 0 to 10000 (100 %), or an amount in cents of 0 or more")


def _not_served(value: Any, param: str) -> None:
    raise BadBody(param, "the sandbox does not serve it", "not_served")


_LINE = _members(
    {
        "unitPrice": _cents, "quantity": _quantity, "quantityUnit": _or_null(_one_of(*UNITS)), "designation": _said,
        "type": _or_null(_one_of(*PRODUCT_TYPES)), "vatCode": _one_of(*VAT_RATES),
    },
    {
        "generatedId": _text, "productId": _text, "reference": _text, "description": _text, "discount": _discount_in_range,
        "isDeliveryOfGoods": _flag, "isTaxIncluded": _no_tax_included,
    },
)  # fmt: skip
_VALUE = _members({"value": _said}, {"otherValue": _text})

LINES = _members({"lines": _list_of(_LINE)}, {"discount": _not_served})
TIMELINE = _members(
    {"emittedAt": _seconds, "paymentDelay": _one_of(*PAYMENT_DELAYS)},
    {"customDueDate": _seconds, "deliveryDate": _or_null(_seconds)},
)
GENERAL_INFORMATIONS = _members(
    {},
    {
        "headerNote": _text, "footerNote": _text, "generalTermsAndConditionsOfSale": _text, "mentionMediator": _text,
        "paymentMethods": _list_of(_one_of(*PAYMENT_METHODS)), "otherPaymentMethod": _text,
        "vatMention": _one_of(*VAT_MENTIONS), "latePenalty": _or_null(_VALUE), "lumpSumCompensation": _or_null(_VALUE),
        "discountAdvancePayment": _or_null(_VALUE), "isOnlinePaymentActivated": _flag, "reminder": _not_served,
    },
)  # fmt: skip
TITLE = _members({"title": _said}, {})
LOCALE = _members({"locale": _one_of(*LOCALES)}, {})
CURRENCY = _members({"currency": _one_of(*CURRENCIES)}, {"currencyRate": _quantity})
