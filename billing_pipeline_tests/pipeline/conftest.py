"""The program and the server all of these tests share."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place, Server
from billing_pipeline_tests.pipeline.program import Program

SERVICES_HEADER = (
    "service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,"
    "terminated_on,installed_offer_id,external_reference,serial_number,order_reference\n"
)
EMPTY = """\
version: 1
first_period: "2024-01"
storage: {data_dir: ./data}
services: {inventory: ./services.csv}
operators:
  - {code: NOBODY, name: Nobody, source: {type: r189_files, folder: ./inbox}}
"""


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    with Program.running() as running:
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server.started() as running:
        yield running


@pytest.fixture(scope="session")
def new_place(server: Server, program: Program) -> Callable[[], Place]:
    """Makes empty places whose databases already have our schema and Dagster's, which takes 3 s to make anew."""
    pristine = server.place(program)
    pristine.write("billing.yaml", EMPTY)
    pristine.write("services.csv", SERVICES_HEADER)
    (pristine.folder / "inbox").mkdir()
    # There is no file for the month; what counts is that both databases have their schemas then.
    pristine.run("2024-01", code=3)
    with psycopg.connect(pristine.url) as connection:
        for table in tables.names(pristine.url):
            if table != "alembic_version":
                connection.execute(sql.SQL("TRUNCATE billing.{}").format(sql.Identifier(table)))
    shutil.rmtree(pristine.folder)
    pristine.folder.mkdir()
    return pristine.copy


@pytest.fixture(scope="session")
def _awkward(new_place: Callable[[], Place]) -> tuple[Place, list[str]]:
    place = new_place()
    place.install(Path(__file__).parent / "awkward")
    runs = [
        place.run("2024-01", "2024-02", "2024-03", options=("--operator", "BRIO", "--operator", "CAPRI")),
        place.run("2024-03", options=("--operator", "DELTA", "--operator", "ECLAT")),
        place.run("2024-04", options=("--operator", "ECLAT"), code=3),
    ]
    return place, [ended.out + ended.err for ended in runs]


@pytest.fixture(scope="session")
def awkward(_awkward: tuple[Place, list[str]]) -> Place:
    """The files of awkward/, collected and reconciled. To be read; who runs something in it takes a copy."""
    return _awkward[0]


@pytest.fixture(scope="session")
def awkward_runs(_awkward: tuple[Place, list[str]]) -> list[str]:
    """What the runs of `awkward` printed."""
    return _awkward[1]
