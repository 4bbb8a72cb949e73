"""Dagster's own database and home when they do not take what a run writes: one line of ours, none of Dagster's retries."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from billing_pipeline.config import load_config
from billing_pipeline.defs import instance as homes
from billing_pipeline.defs.instance import DAGSTER_YAML, prepare_home
from billing_pipeline.errors import StorageError
from billing_pipeline.storage.servers import Databases
from billing_pipeline_tests.integration.located import instance_of
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

# As PostgreSQL says it of a table whose file cannot grow.
FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON event_logs EXECUTE FUNCTION full_disk()
"""


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    place = new_place()
    write_inputs(place)
    return place


def test_a_full_disk_under_dagsters_records_is_told_in_one_line_and_the_next_run_is_whole(place: Place) -> None:
    deliver(place, "2024-01")
    with psycopg.connect(place.dagster_url) as connection:
        connection.execute(FULL)
    (line,) = place.run("2024-01", code=1).errors
    assert line.startswith("billing-pipeline: PostgreSQL at ")
    assert line.endswith(
        f"/{place.dagster_database}: could not extend file: No space left on device; "
        "Dagster keeps its records there: mend that and run again"
    )
    with psycopg.connect(place.dagster_url) as connection:
        connection.execute("DROP TRIGGER full_disk ON event_logs")
    place.run("2024-01")


def _close(place: Place) -> None:
    name = place.dagster_database
    with psycopg.connect(place.server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


def test_dagsters_own_tries_to_connect_are_not_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0)

    def look_at_a_closed_database() -> None:
        with instance_of(place, monkeypatch) as (_, instance):
            _close(place)
            instance.get_runs()

    with pytest.raises(StorageError, match="not currently accepting connections"):
        look_at_a_closed_database()
    assert caplog.records == []


def test_settings_that_could_not_be_written_whole_are_not_there(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BILLING_PIPELINE_DAGSTER_STORAGE", "")
    config = load_config(place.folder / "billing.yaml")
    databases = Databases(place.url, place.dagster_url, embedded=False)
    with monkeypatch.context() as broken:
        broken.setattr(homes, "DAGSTER_YAML", "\ud800")  # fails halfway: no file can hold it
        with pytest.raises(UnicodeEncodeError):
            prepare_home(config, databases)
    assert list((tmp_path / "home").iterdir()) == []
    assert (prepare_home(config, databases) / "dagster.yaml").read_text() == DAGSTER_YAML
