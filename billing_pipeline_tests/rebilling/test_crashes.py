"""Whatever crashes, is killed or times out, in any order: one invoice per customer, to the cent, and no draft forgotten."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from billing_pipeline.errors import SourceError
from billing_pipeline.storage.connections import connect
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline_tests.rebilling.world import SERVICES, Boundaries, Crash, World, plans, service

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
# Before the effect, after it, and neither: what a client cannot tell apart.
FAULTS = (
    "reset", "answer_lost", "silence", "answer_withheld", "error_after_effect", "server_error_burst", "truncated_body",
    "truncated_without_length", "malformed_json", "html_with_200", "redirect",
)  # fmt: skip
STEPS = (
    "POST /v2/billing/invoice/org", "/lines", "/general-informations", "/timeline", "GET /v2/billing/", "/finalize",
    "/download",
)  # fmt: skip
ONE = {"CUST-A": plans()["CUST-A"]}


def resume(world: World, planned, *, tries: int = 12) -> None:
    """Run again until it is done, as a person or a schedule would."""
    world.disturbed.clear()
    for _ in range(tries):
        try:
            world.run(planned)
        except SourceError:
            continue
        return
    raise AssertionError("it never gets done")


def _boundaries(new_world: Callable[[], World]) -> list[int]:
    """All of them, or those behind a call, where the API knows more than we do, and every ninth of the others."""
    counted = Boundaries()
    new_world().run(ONE, boundaries=counted)
    assert counted.passed > 60
    assert len(counted.after_calls) == 8
    return (
        list(range(1, counted.passed + 1)) if FULL else sorted({*counted.after_calls, *range(1, counted.passed + 1, 9)})
    )


def test_a_crash_at_any_boundary_is_resumed_without_a_second_invoice(new_world: Callable[[], World]) -> None:
    for fatal in _boundaries(new_world):
        world = new_world()
        with pytest.raises(Crash):
            world.run(ONE, boundaries=Boundaries(fatal))
        world.check_always()
        resume(world, ONE)
        world.check_done(ONE)


CASES = [(step, fault) for step in STEPS for fault in FAULTS]


@pytest.mark.parametrize(("step", "fault"), CASES if FULL else CASES[::4], ids=lambda text: text.replace("/", "."))
def test_a_fault_at_any_step_is_settled(world: World, step: str, fault: str) -> None:
    world.disturbed.on = {step: (fault, 1)}
    try:
        world.run(ONE)
    except SourceError:
        world.check_always()
    resume(world, ONE)
    world.check_done(ONE)


@pytest.mark.parametrize("seed", range(150 if FULL else 8))
def test_any_order_and_number_of_crashes_faults_and_changes_ends_with_one_invoice_each(world: World, seed: int) -> None:
    rng = random.Random(seed)
    planned = plans()
    for _ in range(rng.randrange(2, 8)):
        world.disturbed.clear()
        world.disturbed.plan = {rng.randrange(1, 30): rng.choice(FAULTS) for _ in range(rng.randrange(4))}
        if rng.random() < 0.25:
            _rebuild_billing(world)
        if rng.random() < 0.3:
            planned = plans((*SERVICES, service(6, "CUST-B", f"{rng.randrange(1, 90)}.50")))
        fatal = rng.choice((0, rng.randrange(1, 250)))
        with contextlib.suppress(Crash, SourceError):
            world.run(planned, finalize=rng.random() < 0.5, boundaries=Boundaries(fatal))
        world.check_always()
    # What was finalized before the last change of plan stays as it was.
    settled = {name: row for name, row in world.rows().items() if row["state"] == "FINALIZED"}
    resume(world, planned)
    world.check_always()
    rows = world.rows()
    assert {name: rows[name]["number"] for name in settled} == {name: row["number"] for name, row in settled.items()}
    world.check_done({name: plan for name, plan in planned.items() if rows[name]["state_detail"] is None})
    assert all(row["state"] == "FINALIZED" for row in rows.values()), rows


def _rebuild_billing(world: World) -> None:
    before = world.rows()
    with connect(world.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
    upgrade(world.url)
    assert world.rows() == before


@pytest.mark.parametrize("fatal", range(3, 90, 4) if FULL else (14, 44, 62))
def test_a_process_killed_at_any_boundary_is_resumed_by_the_next(world: World, fatal: int) -> None:
    program = Path(__file__).with_name("dying_rebill.py")
    ended = subprocess.run(
        [sys.executable, str(program), str(world.folder), world.url, world.settings.base_url, str(fatal)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resume(world, plans())
    world.check_done(plans())
