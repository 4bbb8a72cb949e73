"""From an operator's invoices to the 50 cells of its R189 rows. How a cell is written is r189_writer.py."""

import datetime as dt
from collections.abc import Iterable, Iterator
from decimal import Decimal

from billing_pipeline.config import ChargeType
from billing_pipeline.sandbox.billing import Charge
from billing_pipeline.sandbox.invoicing import Invoice
from billing_pipeline.sandbox.r189_writer import QUARTERLY, WORD_OF_CHARGE, WORD_OF_DOCUMENT, Cell, Percent, Row

_PAYMENT_DAYS = 30


def r189_rows(invoices: Iterable[Invoice], *, unsigned_credits: bool = False) -> Iterator[Row]:
    """One row per line, invoice by invoice; `unsigned_credits` leaves out the minus signs of credit notes."""
    for invoice in invoices:
        head = _invoice_cells(invoice)
        for charge in invoice.charges:
            amounts = _amount_cells(charge)
            if unsigned_credits and charge.amount < 0:
                amounts = {header: abs(cell) if isinstance(cell, Decimal) else cell for header, cell in amounts.items()}
            yield {**head, **_service_cells(charge), **_charge_cells(charge), **amounts}


def _invoice_cells(invoice: Invoice) -> dict[str, Cell]:
    return {
        "Customer Number": "9300856",
        "Customer name": 'NÉO RÉSEAUX; "Néo"',
        "Account number": f"ACC-{invoice.operator.prefix}-01",
        "Invoice number": invoice.invoice_id,
        "Invoice Date": invoice.issued_on,
        "Document type": WORD_OF_DOCUMENT[invoice.document_type],
        "Division code": "D1",
        "Division name": "Accès fixes",
        "Charge Currency": invoice.currency,
        "Payment Term": f"{_PAYMENT_DAYS} jours",
        "Payment Due Date": invoice.issued_on + dt.timedelta(days=_PAYMENT_DAYS),
    }


def _service_cells(charge: Charge) -> dict[str, Cell]:
    service = charge.service
    return {
        "Service description": f"{service.description} - PTO {service.pto}",
        "Service start date": service.terms.activated_on,
        "Site ID": service.imb,
        "Site name": service.site_name,
        "Site address": service.address,
        "Site City": service.commune.name,
        "Postal Code": service.commune.postal_code,
        "Country": "FR",
        "Country Name": "France",
        "Speed": service.offer.speed,
        "Bandwidth": service.offer.speed,
        "Invoice Contact": service.contact,
        "Phone Number": service.phone,
        "PO Reference": f"PO-{service.customer_id}",
        "Installed Offer ID": charge.keys.installed_offer_id,
        "External Reference": charge.keys.external_reference,
        "Serial Number": charge.keys.serial_number,
        "Order reference": charge.keys.order_reference,
    }


def _charge_cells(charge: Charge) -> dict[str, Cell]:
    first, last = charge.days or (None, None)
    return {
        "Period from": first,
        "Period to": last,
        "Charge Month": charge.month,
        "Number of days": (last - first).days + 1 if first and last else None,
        "Charge Description": charge.description,
        "Tax Description": "TVA",
        "Frequency": QUARTERLY if charge.quarterly else WORD_OF_CHARGE[charge.charge_type],
        "Monthly price": charge.monthly_price if charge.charge_type is ChargeType.RECURRING else None,
        "Discount percentage": charge.discount_percent,
        "Tax rate": Percent(charge.service.commune.vat_percent),
        "Exchange rate": charge.converted[2] if charge.converted else None,
        "Invoicing Currency": charge.converted[1] if charge.converted else charge.currency,
        "Credit Comments": "Régularisation" if charge.amount < 0 else None,
    }


def _amount_cells(charge: Charge) -> dict[str, Cell]:
    return {
        "Pre-discount amount": charge.gross,
        "Discount amount": charge.gross - charge.amount,
        "Taxable amount": charge.unreadable or charge.amount,
        "Tax amount": charge.tax,
        "Invoicing Amount": charge.converted[0] if charge.converted else charge.amount,
        "Total including Tax": charge.amount + charge.tax,
    }
