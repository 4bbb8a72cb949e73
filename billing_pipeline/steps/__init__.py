"""The three steps of a partition (operator x period), without Dagster: collect, load, reconcile.

    collect    source -> raw/ and a manifest                          (network; replaces nothing)
    load       raw/ + inventory -> invoices, lines, shares, services  (one transaction)
    reconcile  those tables -> items, reasons, summary                (one transaction)

Each can be killed at any point and run again: a step reads what the one before it committed and publishes its own
result whole. What the rules are stands in r189/, normalize/ and reconciliation/.
"""
