"""`run` as a user sees it: the marts made once, left alone afterwards, and never in the way of the partitions."""

import os
import subprocess
import sys

from billing_pipeline.steps import marts

VIEWS = len(marts.model_names(marts.project_folder()))


def _run(office, *options):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "DAGSTER_", "PG"))}
    done = subprocess.run(
        [sys.executable, "-m", "billing_pipeline", "--config", str(office.config_path), "run", "--period", "2024-01", *options],
        cwd=office.folder, env={**kept, **office.environment}, capture_output=True, text=True, timeout=280,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("marts")]
    return done.returncode, told, [line for line in done.stderr.splitlines() if line.strip()]


def test_the_marts_are_made_once_and_a_failure_of_theirs_is_one_line(new_office):
    office = new_office()
    # In a folder of its own, as on a fresh clone: nothing is parsed yet.
    office.configure(months=12, data_dir=office.folder / "data")

    # There is no file for the month, which is incomplete; the views are made all the same.
    code, told, errors = _run(office)
    assert (code, errors) == (3, [])
    assert len(told) == 1
    assert told[0].endswith(f"{VIEWS} views made in schema billing_marts")
    assert office.rows("SELECT operator_name, state FROM billing_marts.fct_reconciliation_summary") == [
        ("SFR SA", "NOT_EVALUATED")
    ]

    made = office.rows("SELECT oid FROM pg_class WHERE relnamespace = 'billing_marts'::regnamespace ORDER BY 1")
    code, told, errors = _run(office)
    assert (code, errors) == (3, [])
    assert len(told) == 1
    assert told[0].endswith("unchanged")
    assert office.rows("SELECT oid FROM pg_class WHERE relnamespace = 'billing_marts'::regnamespace ORDER BY 1") == made

    # Something in the way that dbt may not remove: a type of the name of our view.
    office.execute(
        "DROP VIEW billing_marts.dim_service",
        "CREATE TYPE billing_marts.dim_service AS ENUM ('in the way')",
    )
    before = office.rows("SELECT * FROM billing.reconciliation_summary")
    code, told, errors = _run(office)
    assert code == 1
    assert [line.rpartition("  ")[2] for line in told] == ["FAILED"]
    assert len(errors) == 1
    assert errors[0].startswith("billing-pipeline: marts: ")
    assert "dim_service" in errors[0]
    assert office.rows("SELECT * FROM billing.reconciliation_summary") == before
