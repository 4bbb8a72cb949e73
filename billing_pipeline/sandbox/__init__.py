"""A French reseller's operators to try the pipeline on: generated invoices with known errors, served and written.

Here: the generator (reseller.py and what it draws on), the APIs (app.py; netwo.py, orange.py, customer_invoicing.py),
what they do wrong when asked to (faults.py), the files (workspace.py), the keys they ask for (access.py). Not here:
anything the pipeline itself uses to read, reconcile or store; the sandbox is a counterpart, not a part of it.
"""
