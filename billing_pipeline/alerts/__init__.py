"""Telling people: an alert once raised stays in the outbox until every configured channel has taken it.

What is worth an alert is not decided here (steps/conditions.py for what the books show, commands/ and defs/ for runs
that failed).
"""
