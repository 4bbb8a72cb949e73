"""Faults at any request and several at once: a month is never a wrong one, whatever it met and in whatever order.

A seed of each source by default; BILLING_TEST_SWEEP=full strikes every request with every fault, some 400 months.
"""

import os
import random

import pytest

from billing_pipeline.sandbox.faults import FAULTS
from billing_pipeline_tests.sources.books import COMPLETE, MARCH
from billing_pipeline_tests.sources.came_right import (
    NETWO,
    ORANGE,
    assert_evaluated_month_stands,
    assert_no_wrong_table,
    assert_same_rows,
)
from billing_pipeline_tests.sources.shelf import reseller

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
# The hub has keys, no tokens.
NEVER = {(NETWO, "token_expires"), (NETWO, "token_revoked")}
MIXED = tuple(
    fault
    for fault in FAULTS
    # A null may stand in a column that allows one, and hostile ids are other ids: told apart above, not in a mix.
    if fault not in ("nulls", "hostile_ids", "enums_as_numbers", "drip", "silence", "rate_limit_date")
)
PATIENT = "{connect_timeout_s: 2, read_timeout_s: 0.6, deadline_s: 20, attempts: 8, concurrency: 4}"


@pytest.mark.parametrize("seed", range(40 if FULL else 3))
@pytest.mark.parametrize("source", [NETWO, ORANGE])
def test_a_random_mix_of_faults_never_makes_a_wrong_table(server, evaluated, source, seed):
    """Several faults on every so many requests; a month that came through or not is then asked for without any."""
    rng = random.Random(f"tables/{source}/{seed}")
    chosen = [f"{fault}:every={rng.randint(3, 17)}" for fault in rng.sample(MIXED, rng.randint(2, 5))]
    before, right = evaluated[source]
    stood = rng.random() < 0.7
    book = before.copy() if stood else server.book(source)
    came = book.come_to(reseller(), MARCH, faults=chosen, seed=seed, http=PATIENT)
    (assert_evaluated_month_stands if stood else assert_no_wrong_table)(came, right, "unknown_fields")
    again = book.come_to(reseller(), MARCH)
    assert again.kind == COMPLETE, f"after {chosen}: {again.why}"
    assert_same_rows(again, right, "unknown_fields")
    server.drop(book)


# What strikes a connection or a whole answer, wherever that is.
STRIKING = (
    "server_error_burst", "reset", "answer_lost", "truncated_body", "truncated_without_length", "gzip_cut", "silence",
    "malformed_json", "html_with_200", "wrong_content_type", "redirect", "token_expires", "token_revoked",
    "answer_withheld", "error_after_effect",
)  # fmt: skip


@pytest.mark.skipif(not FULL, reason="BILLING_TEST_SWEEP=full runs the sweep")
@pytest.mark.parametrize("when", ["first=1", "always"])
@pytest.mark.parametrize("fault", STRIKING)
@pytest.mark.parametrize("source", [NETWO, ORANGE])
def test_a_fault_at_any_request_never_makes_a_wrong_table(server, evaluated, source, fault, when):
    before, right = evaluated[source]
    struck = 0
    for number, path in enumerate(before.paths(reseller(), MARCH)):
        # Each request meets each fault, a month with verdicts and one without by turns.
        stood = (number + STRIKING.index(fault) + (when == "always")) % 2 == 0
        book = before.copy() if stood else server.book(source)
        came = book.come_to(reseller(), MARCH, faults=[f"{fault}@{path}:{when}"])
        struck += bool(came.happened)
        (assert_evaluated_month_stands if stood else assert_no_wrong_table)(came, right, fault)
        server.drop(book)
    assert struck or (source, fault) in NEVER


@pytest.mark.skipif(not FULL, reason="BILLING_TEST_SWEEP=full runs the sweep")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fault", ["missing_required_field", "numbers_as_strings", "unknown_fields", "repeated_ids"])
@pytest.mark.parametrize("source", [NETWO, ORANGE])
def test_odd_json_in_any_document_never_makes_a_wrong_table(server, evaluated, source, fault, seed):
    before, right = evaluated[source]
    for path in before.paths(reseller(), MARCH):
        book = server.book(source)
        came = book.come_to(reseller(), MARCH, faults=[f"{fault}@{path}:always"], seed=seed)
        assert_no_wrong_table(came, right, fault)
        server.drop(book)
