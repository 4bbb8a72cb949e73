"""A month of the demo's charge files, from the command line to PostgreSQL, computed by Spark and by DuckDB.

The two leave the same rows everywhere. One month by default, all three with late documents in the full sweep.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.workspace import workspace_files
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.spark import clusters

OPERATOR = "AXIONE"
PERIODS = ("2024-01", "2024-02", "2024-03") if clusters.FULL else ("2024-01",)
SPARK = f'engine: spark\nspark: {{master: "{clusters.LOCAL_CLUSTER}"}}\n'
pytestmark = pytest.mark.timeout(3600)


def fill(place: Place) -> None:
    for relative, content in workspace_files(generate_reseller(), "http://127.0.0.1:9"):
        path = place.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    place.secrets.update(dict.fromkeys(("NETWO_API_KEY", "ORANGE_CLIENT_ID", "ORANGE_CLIENT_SECRET"), "-"))


def test_spark_leaves_the_same_rows_as_duckdb_and_says_nothing_more(
    new_place: Callable[[], Place], tmp_path: Path
) -> None:
    clusters.require_spark()
    by_duckdb = new_place()
    fill(by_duckdb)
    by_spark = by_duckdb.copy()
    configuration = by_spark.folder / "billing.yaml"
    configuration.write_text(configuration.read_text() + SPARK)
    by_duckdb.run(*PERIODS, options=("--operator", OPERATOR))
    words = [word for period in PERIODS for word in ("--period", period)]
    ended = by_spark.command("run", *words, "--operator", OPERATOR, extra=clusters.write_settings(tmp_path / "conf"))
    assert (ended.code, ended.errors) == (0, [])
    assert not tables.leftovers(by_spark.folder)
    expected = tables.but_for_the_folder(by_duckdb.stored(), by_duckdb.folder)
    assert len(expected["reconciliation_items"]) > 50
    assert tables.changed(expected, tables.but_for_the_folder(by_spark.stored(), by_spark.folder)) == {}
    assert tables.unlike_in_parquet(by_spark.folder, by_spark.stored()) == {}
