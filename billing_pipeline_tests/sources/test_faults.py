"""Every fault of the sandbox against both APIs over real sockets: the same rows, or said to be missing; never other rows."""

import json
import logging
import random
from contextlib import closing
from functools import cache

import pytest

from billing_pipeline.config import HttpSettings
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.faults import FAULTS
from billing_pipeline_tests.sources.outcome import Outcome, outcome_of
from billing_pipeline_tests.sources.shelf import CANARIES, QUICK, Shelf, netwo, orange, sandbox

MARCH = Period(2024, 3)
SOURCES = {"orange": orange, "netwo": netwo}
# Faults that happen once or a few times and are over: another attempt finds the right answer.
PASSING = (
    "rate_limit_seconds", "rate_limit_date", "server_error_burst", "reset", "answer_lost", "truncated_body",
    "truncated_without_length", "gzip_cut", "drip", "silence", "malformed_json", "html_with_200", "wrong_content_type",
    "token_expires", "token_revoked", "unknown_fields", "item_inserted_while_paging", "item_deleted_while_paging",
    "repeated_ids", "answer_withheld", "error_after_effect",
)  # fmt: skip
NOT_OURS = ("enums_as_numbers",)
# What lasts, and what it must come to.
LASTING = {
    "rate_limit_seconds": "failed", "server_error_burst": "failed", "reset": "failed", "answer_lost": "failed",
    "truncated_body": "failed", "malformed_json": "failed", "html_with_200": "failed", "wrong_content_type": "failed",
    "redirect": "failed", "silence": "failed", "total_promises_more": "incomplete",
}  # fmt: skip


def run(name: str, faults: list[str], *, seed: int = 0, settings: HttpSettings = QUICK) -> tuple[Outcome, Shelf, list]:
    with sandbox(faults, fault_seed=seed) as (url, app), closing(SOURCES[name](url, settings=settings)) as source:
        outcome, shelf = outcome_of(lambda shelf: source.collect(MARCH, shelf.keep))
        return outcome, shelf, list(app.state.faults)


@cache
def undisturbed(name: str) -> Outcome:
    outcome, _, _ = run(name, [])
    assert outcome.kind == "complete", outcome.why
    assert outcome.rows
    return outcome


def test_without_a_fault_both_sources_are_complete():
    assert len(undisturbed("netwo").rows) > 30
    rows, totals = undisturbed("orange").rows
    assert len(rows) > 30
    assert totals


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("fault", [one for one in FAULTS if one not in NOT_OURS])
def test_a_fault_never_makes_a_wrong_table(name, fault):
    outcome, _, happened = run(name, [fault])
    told = f"{fault}: {outcome.kind} {outcome.why}"
    if fault in PASSING or not happened:
        assert outcome.kind == "complete", told
    if outcome.kind == "complete" and fault == "hostile_ids":
        # An id is data: under other ids the same lines arrive, one invoice to one id.
        assert {row[1:] for row in outcome.rows} == {row[1:] for row in undisturbed(name).rows}, told
        assert len({row[0] for row in outcome.rows}) == len({row[0] for row in undisturbed(name).rows})
    elif outcome.kind == "complete":
        assert outcome.rows == undisturbed(name).rows, told
    for line in outcome.why:
        assert line.isprintable(), told
        assert len(line) < 900, told
        assert not any(secret in line for secret in CANARIES.values()), told


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_fault_is_told_and_gives_up(name, fault):
    settings = QUICK.model_copy(update={"attempts": 2, "deadline_s": 4, "read_timeout_s": 0.3})
    outcome, _, happened = run(name, [f"{fault}:always"], settings=settings)
    assert happened
    assert outcome.kind == LASTING[fault], outcome.why
    assert outcome.why


def test_a_report_over_the_limit_is_taken_from_the_drop_folder(tmp_path):
    with sandbox() as (url, _), closing(orange(url)) as source:
        _, shelf = outcome_of(lambda shelf: source.collect(MARCH, shelf.keep))
    reports = {one.name: one for one in shelf.received if one.role == "r189_charges"}
    assert reports
    outcome, _, _ = run("orange", ["oversized_report"])
    assert outcome.kind == "incomplete"
    assert all(any(name in line and "drop_folder" in line for line in outcome.why) for name in reports)

    whole, _ = outcome_of(lambda shelf: _collected_with_folder(tmp_path, shelf))
    assert whole.kind == "incomplete"
    assert all(any(name in line and str(tmp_path) in line for line in whole.why) for name in reports)


def _collected_with_folder(folder, shelf):
    with sandbox(["oversized_report"]) as (url, _), closing(orange(url, drop_folder=folder)) as source:
        return source.collect(MARCH, shelf.keep)


def test_the_dropped_file_makes_the_same_rows(tmp_path):
    with sandbox() as (url, _), closing(orange(url)) as source:
        shelf = Shelf()
        collection = source.collect(MARCH, shelf.keep)
    for one in collection.documents:
        if one.role == "r189_charges":
            (tmp_path / one.name).write_bytes(shelf.bodies[one.sha256])
    outcome, _ = outcome_of(lambda shelf: _collected_with_folder(tmp_path, shelf))
    assert outcome.kind == "complete", outcome.why
    assert outcome.rows == undisturbed("orange").rows


def test_a_dropped_file_of_another_length_is_not_believed(tmp_path):
    with sandbox() as (url, _), closing(orange(url)) as source:
        shelf = Shelf()
        collection = source.collect(Period(2024, 1), shelf.keep)
    names = [one.name for one in collection.documents if one.role == "r189_charges"]
    for one in collection.documents:
        if one.role == "r189_charges":
            (tmp_path / one.name).write_bytes(shelf.bodies[one.sha256][:-40])
    with sandbox(["oversized_report"]) as (url, _), closing(orange(url, drop_folder=tmp_path)) as source:
        collection = source.collect(Period(2024, 1), Shelf().keep)
    assert any(names[0] in gap and "bytes" in gap for gap in collection.gaps)


MIXED = (
    "rate_limit_seconds", "server_error_burst", "reset", "answer_lost", "truncated_body", "truncated_without_length",
    "gzip_cut", "malformed_json", "html_with_200", "wrong_content_type", "token_expires", "token_revoked", "repeated_ids",
    "unknown_fields", "total_promises_more", "nulls", "missing_required_field", "numbers_as_strings",
)  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("seed", range(8))
def test_a_random_mix_of_faults_never_makes_a_wrong_table(name, seed):
    rng = random.Random(f"{name}/{seed}")
    chosen = [f"{fault}:every={rng.randint(3, 17)}" for fault in rng.sample(MIXED, rng.randint(2, 5))]
    settings = QUICK.model_copy(update={"attempts": 8, "deadline_s": 15})
    outcome, _, _ = run(name, chosen, seed=seed, settings=settings)
    if outcome.kind == "complete":
        assert outcome.rows == undisturbed(name).rows, f"seed {seed}: {chosen}"
    else:
        assert outcome.why


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("fault", ["token_revoked", "server_error_burst:always", "redirect", "html_with_200", "reset"])
def test_no_secret_reaches_a_log_a_sidecar_or_an_error(name, fault, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    logging.getLogger("httpcore").setLevel(logging.DEBUG)
    try:
        settings = QUICK.model_copy(update={"attempts": 2})
        outcome, shelf, _ = run(name, [fault], settings=settings)
    finally:
        logging.getLogger("httpx").setLevel(logging.WARNING)
        logging.getLogger("httpcore").setLevel(logging.WARNING)
    captured = capfd.readouterr()
    said = [caplog.text, captured.out, captured.err, repr(outcome.why)]
    said += [json.dumps([one.name, one.location, one.request, one.response_headers]) for one in shelf.received]
    said += [body.decode("latin-1") for body in shelf.bodies.values()]
    assert not [secret for secret in CANARIES.values() if any(secret in one for one in said)]
    assert not any("/oauth/" in one.location for one in shelf.received)
