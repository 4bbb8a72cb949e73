"""When the marts are made, and what happens when they cannot be."""

import subprocess
import threading

import psycopg
import pytest

from billing_pipeline.errors import MartsError, StorageError
from billing_pipeline.steps import marts
from billing_pipeline.storage import marts as schema

SECRET = "s3cr3t-never-written"


def test_dbts_own_unit_tests_pass(made):
    folder, target = marts.project_folder(), made.folder / "unit"
    target.mkdir()
    environment = marts._connection_environment(schema.connection_settings(made.url))
    said, code = marts._call(folder, target, ["test", "--select", "test_type:unit"], environment)
    assert (code, said) == (0, [])
    results = marts._results(target / "run_results.json")
    assert len(results) >= 7
    assert {one.status for one in results} == {"pass"}


@pytest.mark.parametrize(
    "undone",
    [
        "DROP VIEW billing_marts.fct_operator_month",
        "COMMENT ON SCHEMA billing_marts IS 'of another release'",
        "COMMENT ON SCHEMA billing_marts IS NULL",
        "REVOKE SELECT ON billing_marts.dim_service FROM billing_analyst",
    ],
)
def test_what_is_not_as_it_should_be_is_made_again(made, new_office, open_workspace, undone):
    office = new_office(made)
    workspace = open_workspace(office)
    assert not marts.needed(workspace)
    office.execute(undone)
    assert marts.needed(workspace)


def test_a_view_that_cannot_be_made_is_named_and_the_tables_stay(made, new_office, open_workspace):
    office = new_office(made)
    before = office.rows("SELECT count(*), sum(difference) FROM billing.reconciliation_items")
    office.execute(DROPPED, "ALTER TABLE billing.services RENAME COLUMN resale_price_ht TO price")
    outcome = marts.make(open_workspace(office))
    assert outcome.failure is not None
    assert "\n" not in outcome.failure
    assert "stg_services" in outcome.failure
    assert 'column "resale_price_ht" does not exist' in outcome.failure
    assert "dbt.log" in outcome.failure
    assert office.rows("SELECT count(*), sum(difference) FROM billing.reconciliation_items") == before
    # What was not completed is not taken for complete, though the views that could be made are there.
    assert marts.needed(open_workspace(office))
    assert office.rows("SELECT count(*) FROM billing_marts.dim_operator") == [(2,)]


DROPPED = schema.DROP_VIEWS


def test_no_file_holds_the_databases_password_even_after_a_failure(made, new_office, open_workspace):
    office = new_office(made)
    office.execute(DROPPED, "ALTER TABLE billing.services RENAME COLUMN resale_price_ht TO price")
    # The server trusts its socket, so any password goes; dbt gets it all the same.
    office.url = office.url.replace("//postgres@", f"//postgres:{SECRET}@")
    office.configure(months=12, data_dir=office.folder / "data")
    workspace = open_workspace(office)
    assert schema.connection_settings(workspace.databases.billing)["password"] == SECRET
    marts.manifest_path(office.data_dir)
    outcome = marts.make(workspace)
    assert outcome.failure is not None
    written = [path for path in office.data_dir.rglob("*") if path.is_file()]
    assert {"dbt.log", "manifest.json", "run_results.json"} <= {path.name for path in written}
    assert [path.name for path in written if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in str(outcome)


def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password(made, tmp_path):
    settings = {"host": str(tmp_path), "port": "5432", "user": "postgres", "password": SECRET, "dbname": "billing"}
    folder = marts.project_folder()
    with pytest.raises(MartsError) as raised:
        marts._run_dbt(
            made.data_dir, folder, marts.project_digest(folder), ["run"], marts._connection_environment(settings)
        )
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_dbt_sees_no_secret_of_an_operator(tmp_path, monkeypatch):
    monkeypatch.setenv("NETWO_API_KEY", SECRET)
    curious, target = tmp_path / "project", tmp_path / "target"
    target.mkdir()
    subprocess.run(["cp", "-r", str(marts.project_folder()), str(curious)], check=True)
    settings = curious / "dbt_project.yml"
    settings.write_text(settings.read_text() + "    +tags: [\"{{ env_var('NETWO_API_KEY') }}\"]\n")
    said, code = marts._call(curious, target, ["parse"], marts._connection_environment(marts._NOWHERE))
    assert code == 2
    assert "Env var required but not provided: 'NETWO_API_KEY'" in " ".join(said)


def test_two_who_make_the_marts_wait_for_each_other(made):
    order = []

    def second() -> None:
        with schema.one_at_a_time(made.url):
            order.append("second")

    thread = threading.Thread(target=second)
    with schema.one_at_a_time(made.url):
        thread.start()
        _wait_for_a_waiter(made.url)
        order.append("first")
    thread.join(timeout=30)
    assert order == ["first", "second"]


def _wait_for_a_waiter(url: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(waiting).fetchone() == (0,):
            pass


def test_terms_follow_the_configuration_and_forget_nobody(made, new_office, open_workspace):
    office = new_office(made)
    office.configure(months=3)
    assert not marts.needed(open_workspace(office))
    terms = "SELECT claim_months, is_configured FROM billing_marts.dim_operator WHERE operator_code = 'SFR'"
    assert office.rows(terms) == [(3, True)]
    text = office.config_path.read_text().replace("SFR", "AXIONE")
    office.config_path.write_text(text)
    assert not marts.needed(open_workspace(office))
    assert office.rows(terms) == [(3, False)]
    written = "SELECT operator_code, xmin::text FROM billing_marts.operator_terms ORDER BY 1"
    before = office.rows(written)
    assert not marts.needed(open_workspace(office))
    assert office.rows(written) == before


def test_a_role_that_may_make_no_schema_is_told_what_to_ask_for(made, new_office):
    office = new_office()
    with psycopg.connect(office.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(StorageError, match="GRANT CREATE ON DATABASE"):
        schema.prepare(office.url.replace("//postgres@", "//guest@"), [])
