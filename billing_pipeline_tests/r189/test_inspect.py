"""`inspect`: shows what a run would do with a file, touches nothing, and shows no personal data."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from billing_pipeline_tests.r189.charge_file import row, text_of

CONFIG = """\
version: 1
first_period: "2024-01"
services: {inventory: ./services.csv}
operators:
  - code: BRIO
    name: Brio
    source: {type: r189_files, folder: ./inbox}
    profile: {date_format: "%d/%m/%Y"}
    reconciliation: {max_rejected_ratio: "0.5"}
"""


def inspect(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "BILLING_CONFIG"}
    command = [sys.executable, "-m", "billing_pipeline", "inspect", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_file_is_shown_with_its_profile_rows_and_rejections(tmp_path):
    rows = [row(), row(Tax_rate="twenty"), row(Charge_Currency="EURO"), row(Charge_Currency="EURO")]
    (tmp_path / "R189_2024-03.csv").write_text(text_of(rows))
    done = inspect(tmp_path, "R189_2024-03.csv")
    assert (done.returncode, done.stderr) == (0, "")
    for shown in (
        "4 rows, 1 invoices", "default profile", "%Y-%m-%d", "detected", "Taxable amount         20.000000",
        "1 rows would be loaded, 3 rejected (75.00 %)", "2 x currency", "'twenty' is not a number",
        "period 2024-03, from its name",
    ):  # fmt: skip
        assert shown in done.stdout
    for personal in ("Zoé", "56 00 00", "rue de l"):
        assert personal not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["R189_2024-03.csv"]


def test_each_column_is_shown_with_its_place_and_a_cut_end_is_told(tmp_path):
    (tmp_path / "R189_2024-03.csv").write_text(text_of([row(), row()]).rstrip()[:-20])
    done = inspect(tmp_path, "R189_2024-03.csv")
    assert done.returncode == 0
    assert "  1  Customer Number" in done.stdout
    assert "the file ends within row 2: its period would be incomplete" in done.stdout


def test_a_name_that_is_no_utf_8_is_shown_by_its_bytes(tmp_path):
    path = os.fsencode(tmp_path) + b"/f\xe9vrier_2024-03.csv"
    with open(path, "w") as file:
        file.write(text_of([row()]))
    done = inspect(tmp_path, os.fsdecode(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "f\\udce9vrier_2024-03.csv: 1 rows" in done.stdout


def test_an_operator_s_profile_applies_when_it_is_named(tmp_path):
    (tmp_path / "billing.yaml").write_text(CONFIG)
    dates = {"Invoice Date": "14/04/2024", "Period from": "01/03/2024", "Period to": "02/03/2024"}
    content = text_of([row(dates), row({**dates, "Tax rate": "x"}), row({**dates, "Tax rate": "y"})])
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(content.encode()))
    done = inspect(tmp_path, "x.csv.gz", "--operator", "BRIO")
    assert (done.returncode, done.stderr) == (0, "")
    assert "with BRIO's profile" in done.stdout
    assert "%d/%m/%Y           pinned" in done.stdout
    assert "its period would be incomplete" in done.stdout
    assert "period 2024-03, from its rows' Charge Month" in done.stdout
    assert inspect(tmp_path, "x.csv.gz", "--operator", "NOBODY").returncode == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x_2024-03.csv", "Customer Number;Invoice number\n1;2\n", "the header lacks"),
        ("x.csv", text_of([row(), row(Charge_Month="2024-04")]), "says which period it is for"),
        ("x_2024-03_2024-04.csv", text_of([row()]), "states the months 2024-03 and 2024-04"),
        ("x_2024-03.csv.gz", text_of([row()]), "gzip"),
    ],
)
def test_a_file_a_run_would_refuse_ends_in_3_and_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    done = inspect(tmp_path, name)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert name in done.stderr
    assert said in done.stderr


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    done = inspect(tmp_path, "nowhere.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nowhere.csv" in done.stderr
