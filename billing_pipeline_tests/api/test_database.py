"""The database is away, old, empty, busy or slow: one clear line or a 503, no connection lost, and it heals by itself."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.storage import embedded
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.reading import STREAMS, ReadPool
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.api.results import Size, store
from billing_pipeline_tests.api.serving import (
    KEY,
    LIST,
    RECONCILIATION,
    Serving,
    eventually,
    exact,
    memory_bytes,
    refused,
    serving,
)

LARGE = Size(operators=1, months=1, invoices=1, lines=60_000, services=60_000)
LARGE_INVOICE = f"{LIST}/INV-OP01-2022-01-0001"


@pytest.fixture(scope="module")
def large_url(new_database: Callable[[], str]) -> str:
    """One invoice of 60 000 lines (11 MB of JSON) and a month of 60 000 services."""
    url = new_database()
    store(url, LARGE)
    return url


def connections(url: str) -> list[str]:
    """The state of each connection `serve` has to the database."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT state FROM pg_stat_activity WHERE application_name = 'billing_pipeline serve'"
            " AND datname = current_database()"
        ).fetchall()
    return [row[0] for row in rows]


@contextmanager
def half_read(api: Serving, path: str, **parameters: str) -> Iterator[socket.socket]:
    """A client that has sent its request and read the first kilobyte of a long answer."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    port = int(api.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")
        yield connection


def test_a_large_invoice_and_a_large_month_arrive_whole_without_filling_the_memory(
    folder: Path, large_url: str
) -> None:
    with serving(folder, large_url) as api:
        api.get(LIST)
        idle_kb = memory_bytes(api.process.pid) // 1024
        lines = exact(api.get(LARGE_INVOICE).text)["lines"]
        assert [line["lineId"] for line in lines] == [f"LN-{number:05d}" for number in range(1, 60_001)]
        answer = exact(api.get(RECONCILIATION, period="2022-01", operatorCode="OP01").text)
        assert answer["summary"]["totalServices"] == len(answer["items"]) == 60_000
        assert sorted(connections(large_url)) == ["idle"] * len(connections(large_url))
        # Peak and present memory, in kB. Both answers together are 20 MB, and more while they are text and bytes.
        status = dict(line.split(":", 1) for line in Path(f"/proc/{api.process.pid}/status").read_text().splitlines())
        peak_kb, before_kb = int(status["VmHWM"].split()[0]), idle_kb
        assert peak_kb - before_kb < 15_000, (before_kb, peak_kb)


@pytest.mark.parametrize("path", [LARGE_INVOICE, RECONCILIATION])
def test_a_client_that_walks_away_leaves_no_connection_taken(folder: Path, large_url: str, path: str) -> None:
    parameters = {"period": "2022-01"} if path == RECONCILIATION else {}
    with serving(folder, large_url) as api:
        for _ in range(3 * STREAMS):
            with half_read(api, path, **parameters):
                assert set(connections(large_url)) & {"active", "idle in transaction"}
        assert eventually(lambda: set(connections(large_url)) <= {"idle"}), connections(large_url)
        assert api.get(path, **parameters).status_code == 200
        assert "Traceback" not in api.log


def test_readers_that_stall_do_not_keep_short_answers_from_being_given(folder: Path, large_url: str) -> None:
    with serving(folder, large_url) as api:
        stalled = [half_read(api, LARGE_INVOICE) for _ in range(STREAMS)]
        for one in stalled:
            one.__enter__()
        try:
            assert api.get(LIST).status_code == 200
            refusal = api.get(LARGE_INVOICE)
            assert refusal.status_code == 503
            assert int(refusal.headers["retry-after"]) > 0
        finally:
            for one in stalled:
                one.__exit__(None, None, None)
        assert eventually(lambda: api.get(LARGE_INVOICE).status_code == 200)


def test_a_stream_whose_connection_is_cut_does_not_end_as_if_it_were_whole(folder: Path, large_url: str) -> None:
    with serving(folder, large_url) as api:
        with api.client.stream("GET", RECONCILIATION, params={"period": "2022-01"}) as answer:
            parts = answer.iter_bytes()
            next(parts)
            with psycopg.connect(large_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'billing_pipeline serve'"
                )
            with pytest.raises(httpx.RemoteProtocolError):
                b"".join(parts)
        assert api.get(LIST).status_code == 200
        assert "cut short" in api.log
        assert "Traceback" not in api.log


def test_a_stream_is_of_one_state_though_the_month_is_replaced_meanwhile(
    folder: Path, new_database: Callable[[], str]
) -> None:
    url = new_database()
    store(url, Size(operators=1, months=1, invoices=1, lines=1, services=60_000))
    with serving(folder, url) as api, api.client.stream("GET", RECONCILIATION, params={"period": "2022-01"}) as answer:
        parts = answer.iter_bytes()
        read = [next(parts)]
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM billing.reconciliation_items WHERE right(item_id, 1) <> '0'")
            connection.execute("UPDATE billing.reconciliation_items SET status = 'MATCHED'")
            connection.execute("UPDATE billing.reconciliation_summary SET total_services = 6000")
        read += parts
        items = json.loads(b"".join(read))["items"]
        assert len(items) == 60_000
        assert sum(item["status"] == "MATCHED" for item in items) == 20_000
        assert len(api.read(RECONCILIATION, period="2022-01")["items"]) == 6000


def test_a_database_that_goes_away_is_told_and_one_that_comes_back_is_used(folder: Path, data_dir: Path) -> None:
    url = _fresh(data_dir)
    with serving(folder, url) as api:
        assert api.get(LIST).status_code == 200
        embedded.stop(data_dir)
        for path, parameters in ((LIST, {}), (RECONCILIATION, {"period": "2022-01"}), (f"{LIST}/x", {})):
            answer = api.get(path, **parameters)
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"] == "unavailable"
            assert int(answer.headers["retry-after"]) > 0
            assert "postgres" not in answer.text.lower()
        assert api.get("/docs").status_code == 200
        embedded.start(data_dir)
        assert api.get(LIST).status_code == 200
        assert "Traceback" not in api.log
        assert "nothing listens there" in api.log


def test_a_database_that_restarts_between_two_requests_is_not_noticed(folder: Path, data_dir: Path) -> None:
    url = _fresh(data_dir)
    with serving(folder, url) as api:
        for _ in range(2):
            assert api.get(LIST).status_code == 200
            assert api.get(RECONCILIATION, period="2022-01").status_code == 200
            embedded.stop(data_dir)
            embedded.start(data_dir)
        assert api.get(RECONCILIATION, period="2022-01").status_code == 200
        assert api.get(LIST).status_code == 200


def _fresh(data_dir: Path) -> str:
    running = embedded.start(data_dir)
    create_database(running.url_for("postgres"), "ours")
    upgrade(running.url_for("ours"))
    store(running.url_for("ours"))
    return running.url_for("ours")


def test_tables_that_vanish_are_no_empty_answer(folder: Path, new_database: Callable[[], str]) -> None:
    url = new_database()
    with serving(folder, url) as api:
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA billing CASCADE")
        assert api.get(LIST).status_code == 503
        assert "db upgrade" in api.log


def test_a_database_without_the_schema_is_refused_with_the_remedy(folder: Path, empty_url: str) -> None:
    ended = refused(folder, BILLING_POSTGRES_URL=empty_url, BILLING_API_KEYS=KEY)
    assert ended.returncode == 1
    assert "run: billing-pipeline db upgrade" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("revision", "remedy"), [("0001", "billing-pipeline db upgrade"), ("9999", "newer program")])
def test_a_schema_of_another_release_is_refused_with_the_remedy(
    folder: Path, new_database: Callable[[], str], revision: str, remedy: str
) -> None:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE billing.alembic_version SET version_num = %s", (revision,))
    ended = refused(folder, BILLING_POSTGRES_URL=url, BILLING_API_KEYS=KEY)
    assert ended.returncode == 1
    assert remedy in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_server_that_is_not_there_is_told_in_one_line(folder: Path) -> None:
    ended = refused(folder, BILLING_POSTGRES_URL="postgresql://me:pw-canary@127.0.0.1:1/x", BILLING_API_KEYS=KEY)
    assert ended.returncode == 1
    assert "127.0.0.1:1/x" in ended.stderr
    assert "pw-canary" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_in_use_is_told_in_one_line(folder: Path, results_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = refused(folder, "--port", port, BILLING_POSTGRES_URL=results_url, BILLING_API_KEYS=KEY)
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_it_ends_when_told_to_though_a_reader_stalls(folder: Path, large_url: str) -> None:
    with serving(folder, large_url) as api:
        with half_read(api, LARGE_INVOICE):
            started = time.monotonic()
            os.kill(api.process.pid, signal.SIGINT)
            assert api.process.wait(30) == 0
            assert time.monotonic() - started < 20
        assert eventually(lambda: connections(large_url) == [])


def read_only(url: str) -> list[str]:
    """The errors of trying to write, in a session as `serve` has it."""

    async def tries() -> list[str]:
        pool, found = ReadPool(url), []
        for statement in (
            "DELETE FROM billing.invoices",
            "INSERT INTO billing.invoices (operator_code) VALUES ('X')",
            "CREATE TABLE billing.mine (a int)",
            "SET default_transaction_read_only = off",
            "DELETE FROM billing.invoices",
        ):
            try:
                await pool.rows(statement, {})
            except StorageError as error:
                found.append(str(error))
            except psycopg.ProgrammingError:
                found.append("no rows")
        await pool.close()
        return found

    return asyncio.run(tries())


def test_whatever_reaches_the_database_cannot_write(results_url: str) -> None:
    errors = read_only(results_url)
    assert "read-only transaction" in errors[0]
    assert "permission denied" in errors[-1], errors


def test_a_role_that_may_not_become_the_analyst_reads_all_the_same(
    folder: Path, server: EmbeddedServer, new_database: Callable[[], str]
) -> None:
    """An owner's login on somebody else's server: no superuser, and nobody granted it billing_analyst."""
    url = new_database()
    store(url)
    with psycopg.connect(server.url_for("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE plain_reader LOGIN"))
    with psycopg.connect(url) as connection:
        connection.execute("GRANT USAGE ON SCHEMA billing TO plain_reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA billing TO plain_reader")
    os.chmod(server.socket_dir, 0o700)
    plain = url.replace("postgres@", "plain_reader@", 1)
    with serving(folder, plain) as api:
        assert api.read(LIST)["pagination"]["total"] == 42
        assert api.read(LIST, page=2, perPage=1)["pagination"]["total"] == 42
        assert api.log.count("may not become billing_analyst") == 1
