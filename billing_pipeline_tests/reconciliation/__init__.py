"""Verdicts on hand-written months: each test states its arithmetic, none needs a file or a database."""
