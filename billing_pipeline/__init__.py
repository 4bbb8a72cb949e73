"""A telecom reseller's operator invoices: collected, read, reconciled to the cent, re-invoiced.

Where data flows, and which folder owns each step:

    sources ──> storage/raw ──> r189, normalize ──> reconciliation ──> storage (PostgreSQL, Parquet) ──> reports
    (fetch)     (documents)     (rows, lines)        (verdicts)         (atomic per operator x period)

Imports point one way, and a test keeps it so:

    cli, definitions -> commands -> defs -> steps
        -> sources, r189, normalize, reconciliation, storage, rebilling, reports, api, alerts, sandbox
        -> schemas, config -> periods, money, errors, exact_json

steps/ are the three steps of a partition without Dagster (collect, load, reconcile), defs/ makes assets of them. What the
reseller's own customers are invoiced goes the other way: services and verdicts -> rebilling -> the invoicing API.
A new operator protocol is one class in sources/ (see sources/collection.py), its models in config.py and a line in
steps/collect.py; a new rule of the verdict is one function in reconciliation/; a new column is one line in
schemas/tables.py and a migration. Only defs/ and definitions.py import dagster.
"""
