"""Whatever goes wrong: one line that names it and the remedy, the documented exit code, and no secret anywhere."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.program import Ended, Program, environment
from billing_pipeline_tests.pipeline.rive import CONFIGURATION, HEADER, SERVICES, deliver, write_inputs

KEY, PASSWORD = "canary-key-5d1f", "canary-password-8a2c"
HUB = """\
  - code: SFR
    name: SFR
    source: {{type: netwo, base_url: "{url}", api_key_env: NETWO_API_KEY, http: {{attempts: 1}}}}
"""
COMMANDS = ("run", "summary", "check-config", "sandbox", "demo", "dev", "db", "db upgrade", "db url", "db stop")


@pytest.fixture(scope="module")
def ready(new_place: Callable[[], Place]) -> Place:
    """January is delivered and was collected."""
    place = new_place()
    write_inputs(place)
    deliver(place, "2024-01")
    place.run("2024-01")
    return place


def _with_hub(place: Place, url: str, key: str = KEY) -> None:
    place.write("billing.yaml", CONFIGURATION + HUB.format(url=url))
    place.secrets["NETWO_API_KEY"] = key


@contextmanager
def _hub() -> Iterator[str]:
    with SandboxServer(create_app(generate_reseller(scale=3), api_key=KEY)) as server:
        yield server.base_url


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _assert_one_line(ended: Ended, code: int, *told: str) -> str:
    assert ended.code == code, ended.out + ended.err
    lines = [line for line in ended.errors if not line.startswith("warning:")]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("billing-pipeline: ")
    assert [word for word in told if word not in lines[0]] == [], lines[0]
    assert "Traceback" not in ended.out + ended.err
    assert KEY not in ended.out + ended.err
    assert PASSWORD not in ended.out + ended.err
    return lines[0]


def _fresh(ready: Place) -> tuple[Place, tables.Stored]:
    place = ready.copy()
    return place, place.stored()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (CONFIGURATION.replace("inventory:", "inventry:"), ("billing.yaml", "inventry", "inventory")),
        (CONFIGURATION.replace("type: r189_files", "type: r198_files"), ("billing.yaml", "r189_files")),
        (CONFIGURATION.replace('"2024-01"', '"2024-13"'), ("billing.yaml", "first_period", "2024-13")),
        (CONFIGURATION + "operators: []\n", ("billing.yaml", "operators", "twice")),
        ("version: 1\n  first", ("billing.yaml", "line")),
    ],
)
def test_a_mistake_in_the_configuration_names_the_key(ready: Place, wrong: str, told: tuple[str, ...]) -> None:
    place, before = _fresh(ready)
    place.write("billing.yaml", wrong)
    _assert_one_line(place.command("run", "--period", "2024-01"), 2, *told)
    _assert_one_line(place.command("check-config"), 2, *told)
    assert tables.changed(before, place.stored()) == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("40.00,0,2022-01-01,,", "40.00,0,2022-01-01,2021-12-31,", ("row 2", "terminated_on")),
        ("40.00,0,", "-1.00,0,", ("row 2", "monthly_price_ht")),
        ("40.00,0,", "40.00,101,", ("row 2", "discount_percent")),
        ("EUR,40.00", "EURO,40.00", ("row 2", "currency")),
        ("R2,RIVE", "R1,RIVE", ("row 2", "service_id")),
        ("2022-01-01,,OFR-R2", "01/01/2022,,OFR-R2", ("row 2", "activated_on")),
    ],
)
def test_an_invalid_inventory_row_refuses_the_file_and_changes_nothing(
    ready: Place, old: str, new: str, told: tuple[str, ...]
) -> None:
    place, before = _fresh(ready)
    assert old in SERVICES
    place.write("services.csv", SERVICES.replace(old, new))
    deliver(place, "2024-01", [("RI-1", "R1", "99.00", "2024-01")])
    _assert_one_line(place.command("run", "--period", "2024-01"), 2, "services.csv", *told)
    assert tables.changed(before, place.stored()) == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--period", "2024-01", "--operator", "NOBODY"), ("NOBODY", "RIVE")),
        (("--period", "2023-12"), ("2023-12", "2024-01", "first_period")),
        (("--period", "2999-01"), ("2999-01", "last complete month")),
        (("--period", "2024-1"), ("2024-1", "YYYY-MM")),
        (("--period", "01/2024"), ("01/2024", "YYYY-MM")),
        ((), ("--period", "--help")),
        (("--period", "2024-01", "--perod", "x"), ("--perod", "--help")),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_touched(
    ready: Place, arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    _assert_one_line(ready.command("run", *arguments), 2, *told)


def test_a_configuration_that_is_not_there_is_named(ready: Place) -> None:
    _assert_one_line(ready.command("run", "--period", "2024-01", "--config", "elsewhere.yaml"), 2, "elsewhere.yaml")


def test_a_missing_secret_is_named_before_anything_is_asked(ready: Place) -> None:
    place, before = _fresh(ready)
    _with_hub(place, "http://127.0.0.1:9")
    del place.secrets["NETWO_API_KEY"]
    _assert_one_line(place.command("run", "--period", "2024-01"), 2, "NETWO_API_KEY", "SFR")
    checked = place.command("check-config")
    assert (checked.code, checked.errors) == (0, [])
    assert "NETWO_API_KEY" in checked.out
    assert tables.changed(before, place.stored()) == {}


def _summary(place: Place, operator: str, month: str) -> tables.Row:
    rows = {(row["operator_code"], row["period"]): row for row in place.stored()["reconciliation_summary"]}
    return rows[operator, month]


def test_an_operator_that_cannot_be_reached_does_not_keep_the_others_from_their_verdicts(ready: Place) -> None:
    place, _ = _fresh(ready)
    port = _closed_port()
    _with_hub(place, f"http://127.0.0.1:{port}")
    deliver(place, "2024-02")
    ended = place.command("run", "--period", "2024-02")
    _assert_one_line(ended, 1, "SFR 2024-02", f"127.0.0.1:{port}", "run the period again")
    assert _summary(place, "RIVE", "2024-02")["state"] == "EVALUATED"
    failed = _summary(place, "SFR", "2024-02")
    assert failed["state"] == "NOT_EVALUATED"
    assert f"127.0.0.1:{port}" in failed["state_detail"]
    assert failed["total_services"] is None


def test_no_secret_is_written_anywhere_whether_it_is_accepted_or_refused(ready: Place) -> None:
    """Two runs, the second with a key the hub refuses; both with a password in the database's URL."""
    place, _ = _fresh(ready)
    secret_url = {
        name: place.environment[name].replace("postgresql://postgres@", f"postgresql://postgres:{PASSWORD}@")
        for name in ("BILLING_POSTGRES_URL", "BILLING_DAGSTER_POSTGRES_URL")
    }
    assert all(PASSWORD in url for url in secret_url.values())
    with _hub() as url:
        _with_hub(place, url)
        accepted = place.command("run", "--period", "2024-01", "--operator", "SFR", extra=secret_url)
        assert accepted.code == 0, accepted.err
        refused_key = f"{KEY}-refused"
        refused = place.command(
            "run", "--period", "2024-02", "--operator", "SFR", extra={**secret_url, "NETWO_API_KEY": refused_key}
        )
    _assert_one_line(refused, 1, "SFR 2024-02", "401", "NETWO_API_KEY")
    assert _summary(place, "SFR", "2024-02")["state"] == "NOT_EVALUATED"
    written = {"what was printed": (accepted.out + accepted.err + refused.out + refused.err).encode()}
    written |= {str(path): path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    written |= {f"billing, {name}": text for name, text in _dump(place.url)}
    written |= {f"dagster, {name}": text for name, text in _dump(place.dagster_url)}
    assert any(name.startswith("dagster, event_logs") and b"SFR" in text for name, text in written.items())
    assert [name for name, text in written.items() if KEY.encode() in text or PASSWORD.encode() in text] == []


def _dump(url: str) -> Iterator[tuple[str, bytes]]:
    """Every table of the database, all columns as text."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, name in found:
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, name))) as rows:
                yield name, b"".join(bytes(part) for part in rows)


def test_a_folder_that_is_not_there_fails_its_operator(ready: Place) -> None:
    place, before = _fresh(ready)
    for path in (place.folder / "inbox" / "rive").iterdir():
        path.unlink()
    (place.folder / "inbox" / "rive").rmdir()
    _assert_one_line(place.command("run", "--period", "2024-01"), 1, "RIVE 2024-01", "inbox/rive", "create the folder")
    assert tables.changed(before, place.stored()) == {}, "an evaluated month stays as it was"


def test_a_database_that_is_down_is_told_without_its_password(ready: Place) -> None:
    place = ready.copy()
    port = _closed_port()
    url = f"postgresql://billing:{PASSWORD}@127.0.0.1:{port}/billing"
    for arguments in (("run", "--period", "2024-01"), ("summary", "--period", "2024-01"), ("db", "upgrade")):
        ended = place.command(*arguments, extra={"BILLING_POSTGRES_URL": url})
        _assert_one_line(ended, 1, f"127.0.0.1:{port}", "start the server")


def test_a_url_that_is_no_url_is_named_by_its_variable(ready: Place) -> None:
    ended = ready.command("db", "upgrade", extra={"BILLING_POSTGRES_URL": f"mysql://root:{PASSWORD}@localhost/x"})
    _assert_one_line(ended, 2, "BILLING_POSTGRES_URL", "postgresql://")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_cannot_be_written_is_named(ready: Place) -> None:
    place = ready.copy()
    data = place.folder / "data"
    deliver(place, "2024-02")
    for folder in (data / "raw", data / "raw" / "RIVE"):
        folder.chmod(0o500)
    try:
        _assert_one_line(place.command("run", "--period", "2024-02"), 1, "RIVE 2024-02", "data/raw")
    finally:
        for folder in (data / "raw", data / "raw" / "RIVE"):
            folder.chmod(0o700)


def test_too_many_rejected_rows_leave_the_month_without_a_verdict(ready: Place) -> None:
    place, _ = _fresh(ready)
    deliver(place, "2024-02", [("RI-2", "R1", "30.00", "2024-02"), ("RI-2", "R2", "forty", "2024-02")])
    ended = place.command("run", "--period", "2024-02")
    assert (ended.code, ended.errors) == (3, [])
    assert "1 of 2 rows" in ended.out
    assert _summary(place, "RIVE", "2024-02")["state"] == "NOT_EVALUATED"


def test_amounts_that_no_sum_can_hold_are_named_and_leave_the_verdicts_that_stand(ready: Place) -> None:
    place = ready.copy()
    before = place.stored()["reconciliation_items"]
    huge = "999999999999.00"
    deliver(place, "2024-01", [("RI-1", "R1", huge, "2024-01"), ("RI-2", "R2", huge, "2024-01")])
    _assert_one_line(
        place.command("run", "--period", "2024-01"),
        1,
        "RIVE 2024-01",
        "more than 12 digits",
        huge,
        "line RI-",
        "corrected",
    )
    assert before
    assert place.stored()["reconciliation_items"] == before


def test_a_file_that_two_readings_fit_is_refused_with_the_key_that_decides(ready: Place) -> None:
    """`1,234` is a thousand in one style and a bit more than one in the other."""
    place, _ = _fresh(ready)
    row = 'RI-2;Invoice;EUR;1,234;2024-02;Monthly;1,234;"Abonnement; R1";OFR-R1;12 rue de la Paix'
    place.write("inbox/rive/R189_RIVE_202402.csv", "\n".join([HEADER, row, ""]))
    ended = place.command("run", "--period", "2024-02")
    assert (ended.code, ended.errors) == (3, [])
    for told in ("R189_RIVE_202402.csv", "1,234", "decimal"):
        assert told in ended.out
    summary = _summary(place, "RIVE", "2024-02")
    assert summary["state"] == "NOT_EVALUATED"
    assert "R189_RIVE_202402.csv" in summary["state_detail"]
    place.write("billing.yaml", CONFIGURATION + '    profile: {decimal: ","}\n')
    place.run("2024-02")
    (line,) = (row for row in place.stored()["invoice_lines"] if row["period"] == "2024-02")
    assert line["total_ht"].normalize().as_tuple().exponent == -3


def test_personal_fields_are_in_no_message_and_not_in_the_database(ready: Place) -> None:
    """The rejected row of 'forty' has a site address; PostgreSQL and the terminal do not show it."""
    place, _ = _fresh(ready)
    deliver(place, "2024-02", [("RI-2", "R1", "30.00", "2024-02"), ("RI-2", "R2", "forty", "2024-02")])
    ended = place.command("run", "--period", "2024-02")
    shown = (ended.out + ended.err).encode() + b"".join(text for _, text in _dump(place.url))
    shown += b"".join(text for _, text in _dump(place.dagster_url))
    assert b"forty" in shown
    assert b"rue de la Paix" not in shown


_HEAVY = "pandas", "dagster", "ibis", "duckdb", "pyarrow", "sqlalchemy"
_STARTED = f"""\
import sys
from billing_pipeline.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    loaded = sorted(set({_HEAVY!r}) & set(sys.modules))
    sys.exit(f"imported {{', '.join(loaded)}}" if loaded else 0)
"""


def _light(ready: Place) -> list[tuple[str, ...]]:
    return [
        ("--help",),
        *((*command.split(), "--help") for command in COMMANDS),
        ("run",),
        ("run", "--period"),
        ("nothing",),
        ("summary", "--period", "2024-01", "--format", "xml"),
        ("check-config", "--config", str(ready.folder / "billing.yaml")),
    ]


def test_a_port_that_is_taken_is_told_before_anything_is_started(ready: Place, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = ready.command("dev", "--demo", str(tmp_path / "demo"), "--port", port)
    assert ended.code == 2
    (line,) = ended.errors
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port" in line
    assert not (tmp_path / "demo").exists()


def test_help_usage_errors_and_check_config_load_no_heavy_library(ready: Place) -> None:
    for arguments in _light(ready):
        done = subprocess.run(
            [sys.executable, "-c", _STARTED, *arguments],
            cwd=ready.folder, env=environment(ready.environment), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, arguments) == (0, arguments), done.stderr


def test_debug_shows_where_an_error_comes_from(ready: Place) -> None:
    ended = ready.command("run", "--period", "2024-1", "--debug")
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert "UsageError" in ended.err


def test_a_command_runs_from_any_folder(ready: Place, program: Program, tmp_path: Path) -> None:
    """Relative paths are relative to the file, so nothing is written where one happens to be."""
    extra = {**ready.environment, "BILLING_CONFIG": str(ready.folder / "billing.yaml")}
    ended = program.start("summary", "--period", "2024-01", "--format", "json", folder=tmp_path, extra=extra).wait()
    assert (ended.code, ended.errors) == (0, [])
    assert '"totalServices"' in ended.out
    assert list(tmp_path.iterdir()) == []
