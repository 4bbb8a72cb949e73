"""One operator's month, from lines and contracts to verdicts: Ibis tables in, Ibis tables out, no file, no database.

How the data flows; every module is one step and says which rule it holds:

    invoice_lines ──> allocate ──> line_allocations ─┐
    inventory, prices ──> expect ──> services ───────┤
                                                     v
        match     each share of the month finds its service, and the currency it is compared in
        verdict   each service gets its status; nearly all are settled here, in one pass
        decompose only where billed and expected differ: the reasons, in the contract's order
        pairing   one-off and usage shares against the expected charges
        details   the verdict in French
        engine    runs these in order: reconcile(inputs, period, rules) -> items and reasons
                                                     v
        summary   counts and amounts of the month, status of each invoice
        identities what must hold on every run, as tables of what does not
    invoices, invoice_lines ──> findings ──> invoice_findings   (needs no inventory)

The engine is whatever the tables belong to. Intermediate results are kept there with `keep.keep`; the tables handed in
must not change while a result is in use. `money.round_ratio` is the only division.
"""
