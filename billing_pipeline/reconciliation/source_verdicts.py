"""The hub's own verdicts beside ours, and whether they agree. Nothing of ours rests on them."""

import ibis
from ibis.expr.types import Table, Value

from billing_pipeline.reconciliation.content import as_content
from billing_pipeline.schemas.tables import SOURCE_VERDICTS

_OURS = ("status", "service_amount", "invoice_amount")


def compare_verdicts(theirs: Table, items: Table) -> Table:
    """The content of SOURCE_VERDICTS: every item of the hub with ours on the same service, and our services it leaves out.

    `theirs` has one row per service_id and invoice_line_id, '' where the hub names none. A hub's item without a service
    is compared with our item of the line of that name, where there is just one.
    """
    services = items.filter(items.item_id.startswith("service:"))
    ours = services.select(our_service="service_id", **{f"our_{name}": services[name] for name in _OURS})
    lines = items.filter(items.item_id.startswith("line:") & items.invoice_line_id.notnull())
    named = lines.group_by("invoice_line_id").aggregate(
        lines=lines.count(), **{f"our_{name}": lines[name].max() for name in _OURS}
    )
    named = named.filter(named.lines == 1).drop("lines").rename(our_line="invoice_line_id")
    of_services, of_lines = theirs.filter(theirs.service_id != ""), theirs.filter(theirs.service_id == "")
    by_service = of_services.outer_join(ours, of_services.service_id == ours.our_service)
    by_line = of_lines.left_join(named, of_lines.invoice_line_id == named.our_line)
    compared = ibis.union(
        _content(by_service, ibis.coalesce(by_service.service_id, by_service.our_service)),
        _content(by_line, by_line.service_id),
    )
    return as_content(compared, SOURCE_VERDICTS)


def _content(joined: Table, service_id: Value) -> Table:
    source = ("source_status", "source_service_amount", "source_invoice_amount", "source_detail")
    return joined.select(
        service_id=service_id,
        invoice_line_id=ibis.coalesce(joined.invoice_line_id, ""),
        **{name: joined[name] for name in source},
        **{name: joined[f"our_{name}"] for name in _OURS},
        agrees=_same(joined.source_status, joined.our_status)
        & _same(joined.source_service_amount, joined.our_service_amount)
        & _same(joined.source_invoice_amount, joined.our_invoice_amount),
    )


def _same(one: Value, other: Value) -> Value:
    """Equal, two nulls included; never null itself."""
    return ibis.coalesce(one == other, one.isnull() & other.isnull())
