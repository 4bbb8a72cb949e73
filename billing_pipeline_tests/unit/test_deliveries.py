"""A file that lands starts its month once: not half-written, not twice, not never, whoever restarts in between."""

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from billing_pipeline.config import BillingConfig, Profile, load_config
from billing_pipeline.periods import Period
from billing_pipeline.steps import deliveries
from billing_pipeline.steps.deliveries import Look, look
from billing_pipeline.storage.raw import RawStore

CONFIGURATION = """\
version: 1
first_period: "2024-01"
services: {inventory: ./services.csv}
operators:
  - {code: RIVE, name: Rive, source: {type: r189_files, folder: ./inbox/rive}}
  - code: ORANGE
    name: Orange
    source:
      {type: orange_b2b, base_url: "https://x.org", token_url: "https://x.org/t", client_id_env: A, client_secret_env: B,
       api_key_env: C, drop_folder: ./inbox/orange}
"""
HEADER = "Invoice number;Document type;Charge Currency;Taxable amount;Charge Month;Installed Offer ID"


class Folders:
    """The drop folders of two operators and the sensor's memory; each look is ten minutes after the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "billing.yaml").write_text(CONFIGURATION)
        self.config: BillingConfig = load_config(folder / "billing.yaml")
        self.raw = RawStore(folder / "data" / "raw")
        self.cursor: str | None = None
        # A file's ctime is the real clock's and cannot be set, so the looks go on from now.
        self.now = datetime.now(UTC)
        for name in ("rive", "orange"):
            (folder / "inbox" / name).mkdir(parents=True)

    def drop(self, name: str, months: str = "2024-03", amount: str = "30.00", folder: str = "rive") -> Path:
        """A charge file, as if it had been written just now."""
        path = self.folder / "inbox" / folder / name
        rows = [f"I{at};Invoice;EUR;{amount};{month};OFR-1" for at, month in enumerate(months.split())]
        path.write_text("\n".join([HEADER, *rows, ""]))
        self._touch(path)
        return path

    def _touch(self, path: Path) -> None:
        os.utime(path, (self.now.timestamp(), self.now.timestamp()))

    def look(self, later: timedelta = timedelta(minutes=10)) -> Look:
        self.now += later
        found = look(self.config, self.raw, self.cursor, self.now)
        self.cursor = found.cursor
        return found

    def collected(self, name: str, period: str, content: bytes) -> None:
        """As a collection leaves it that has this file."""
        document = {"name": name, "sha256": sha256(content).hexdigest()}
        self.raw.write_manifest(
            "RIVE", period, {"run_id": "r", "state": "complete", "detail": None, "documents": [document]}
        )


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def asked(found: Look) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.operator_code, str(one.period), one.names) for one in found.deliveries]


def test_a_file_starts_its_month_once_it_has_stood_still(folders: Folders) -> None:
    folders.drop("R189_RIVE_202403.csv")
    first, second, third = folders.look(), folders.look(), folders.look()
    assert (asked(first), first.waiting) == ([], 1)
    assert asked(second) == [("RIVE", "2024-03", ("R189_RIVE_202403.csv",))]
    assert (asked(third), third.told) == ([], [])


def test_a_file_whose_ending_is_in_capitals_starts_its_month_too(folders: Folders) -> None:
    folders.drop("R189_RIVE_202403.CSV")
    folders.look()
    assert asked(folders.look()) == [("RIVE", "2024-03", ("R189_RIVE_202403.CSV",))]


def test_a_file_that_grows_between_looks_is_left_alone_until_it_does_not(folders: Folders) -> None:
    path = folders.drop("R189_RIVE_202403.csv")
    for _ in range(4):
        assert asked(folders.look()) == []
        with path.open("a") as file:
            file.write("I9;Invoice;EUR;30.00;2024-03;OFR-1\n")
    assert asked(folders.look()) == []
    assert len(asked(folders.look())) == 1


def test_a_file_written_in_bursts_of_the_same_length_is_not_taken_for_settled_at_once(folders: Folders) -> None:
    folders.drop("R189_RIVE_202403.csv")
    folders.look(timedelta(seconds=1))
    assert asked(folders.look(timedelta(seconds=5))) == []
    assert len(asked(folders.look(timedelta(seconds=60)))) == 1


def test_a_file_that_is_still_uploaded_under_a_hidden_or_other_name_is_none(folders: Folders) -> None:
    for name in (".R189_RIVE_202403.csv", "R189_RIVE_202403.csv.part", "~lock"):
        folders.drop(name)
    (folders.folder / "inbox" / "rive" / "R189_RIVE_202404.csv").mkdir()
    folders.look()
    found = folders.look()
    assert (asked(found), found.waiting) == ([], 0)


def test_files_of_one_month_are_one_run_and_of_two_months_two(folders: Folders) -> None:
    for name in ("a_202403.csv", "b_202403.csv", "c_202402.csv"):
        folders.drop(name)
    folders.look()
    assert asked(folders.look()) == [
        ("RIVE", "2024-02", ("c_202402.csv",)),
        ("RIVE", "2024-03", ("a_202403.csv", "b_202403.csv")),
    ]


def test_the_name_counts_before_the_rows_and_the_rows_where_the_name_is_silent(folders: Folders) -> None:
    folders.drop("named_202402.csv", months="2024-03")
    folders.drop("silent.csv", months="2024-04 2024-04")
    folders.look()
    assert [period for _, period, _ in asked(folders.look())] == ["2024-02", "2024-04"]


def test_a_report_in_an_orange_folder_needs_no_ending(folders: Folders) -> None:
    folders.drop("R189-Charges+202403", folder="orange")
    folders.look()
    assert asked(folders.look()) == [("ORANGE", "2024-03", ("R189-Charges+202403",))]


def test_a_replaced_file_starts_again_and_one_put_back_as_it_was_too(folders: Folders) -> None:
    path = folders.drop("R189_RIVE_202403.csv", amount="30.00")
    original, stamp = path.read_bytes(), path.stat()
    folders.look()
    first = folders.look().deliveries
    folders.collected(path.name, "2024-03", original)
    folders.now += timedelta(hours=1)
    folders.drop("R189_RIVE_202403.csv", amount="31.00")
    folders.look()
    second = folders.look().deliveries
    folders.collected(path.name, "2024-03", path.read_bytes())
    path.write_bytes(original)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    folders.look()
    third = folders.look().deliveries
    assert [len(first), len(second), len(third)] == [1, 1, 1]
    assert len({first[0].key, second[0].key, third[0].key}) == 3


def test_a_delivery_met_again_after_a_crash_has_the_same_key(folders: Folders) -> None:
    folders.drop("R189_RIVE_202403.csv")
    folders.look()
    remembered = folders.cursor
    first = folders.look().deliveries
    folders.cursor = remembered
    assert folders.look().deliveries == first


def test_a_file_that_was_collected_already_starts_nothing(folders: Folders) -> None:
    path = folders.drop("R189_RIVE_202403.csv")
    folders.collected(path.name, "2024-03", path.read_bytes())
    folders.look()
    assert asked(folders.look()) == []
    folders.now += timedelta(hours=1)
    os.utime(path, (folders.now.timestamp(), folders.now.timestamp()))  # copied again, the same bytes
    folders.look()
    assert asked(folders.look()) == []


@pytest.mark.parametrize(
    ("name", "months", "said"),
    [
        ("silent.csv", "2024-03 2024-04", "silent.csv: neither its name nor its rows' Charge Month"),
        ("r_202403_202404.csv", "2024-03", "r_202403_202404.csv: its name states the months 2024-03 and 2024-04"),
        ("old_202312.csv", "2024-03", "old_202312.csv is for 2023-12, before first_period 2024-01"),
    ],
)
def test_a_file_without_a_month_that_can_be_run_is_told_once_by_name(
    folders: Folders, name: str, months: str, said: str
) -> None:
    folders.drop(name, months=months)
    told = [folders.look().told for _ in range(4)]
    assert [len(lines) for lines in told] == [0, 1, 0, 0]
    assert said in told[1][0]
    assert said.split(":")[0] in told[1][0]


def test_a_file_for_a_month_that_is_not_over_waits_and_is_not_forgotten(folders: Folders) -> None:
    month = f"{folders.now:%Y-%m}"
    folders.drop(f"R189_RIVE_{month.replace('-', '')}.csv", months=month)
    told = [folders.look() for _ in range(3)]
    assert [len(found.told) for found in told] == [0, 1, 0]
    assert f"is for {month}, which is not over yet" in told[1].told[0]
    folders.now += timedelta(days=32)
    assert [period for _, period, _ in asked(folders.look())] == [month]
    assert asked(folders.look()) == []


def test_a_folder_that_is_away_is_told_once_and_its_memory_kept(folders: Folders) -> None:
    folders.drop("R189_RIVE_202403.csv")
    folders.look()
    folders.look()
    away = folders.folder / "away"
    (folders.folder / "inbox" / "rive").rename(away)
    told = [folders.look().told for _ in range(3)]
    assert [len(lines) for lines in told] == [1, 0, 0]
    assert "inbox/rive cannot be read" in told[0][0]
    away.rename(folders.folder / "inbox" / "rive")
    assert asked(folders.look()) == []


def test_one_unreadable_folder_does_not_hide_the_others_files(folders: Folders) -> None:
    (folders.folder / "inbox" / "rive").rmdir()
    folders.drop("R189-Charges+202403", folder="orange")
    folders.look()
    assert [code for code, _, _ in asked(folders.look())] == ["ORANGE"]


def test_a_file_that_vanishes_under_the_look_stops_no_other_file(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folders.drop("R189_RIVE_202403.csv")
    folders.collected(path.name, "2024-03", path.read_bytes())
    folders.drop("R189-Charges+202403", folder="orange")
    folders.look()
    whole = deliveries.period_of_file

    def taken_away(one: Path, profile: Profile) -> Period:
        period = whole(one, profile)
        path.unlink(missing_ok=True)
        return period

    monkeypatch.setattr(deliveries, "period_of_file", taken_away)
    assert [code for code, _, _ in asked(folders.look())] == ["RIVE", "ORANGE"]


def test_a_file_that_waits_for_its_month_is_told_once_though_a_look_had_no_time_for_it(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = f"{folders.now:%Y%m}"
    folders.drop(f"R189_RIVE_{month}.csv")
    told = [len(folders.look().told) for _ in range(2)]
    with monkeypatch.context() as hurried:
        hurried.setattr(deliveries, "BUDGET_S", -1.0)
        told.append(len(folders.look().told))
    told.append(len(folders.look().told))
    assert told == [0, 1, 0, 0]


def test_the_memory_stays_small_however_many_files_lie_there(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_FILES", 200)
    for number in range(300):
        folders.drop(f"file-{number}_2024{number % 2 + 1:02d}.csv")
    for _ in range(3):
        found = folders.look()
    assert len(found.cursor) < 200 * 16 + 200
    folders.drop("newest_202403.csv")
    folders.look()
    assert ("RIVE", "2024-03", ("newest_202403.csv",)) in asked(folders.look())


def test_a_memory_of_another_version_is_no_error(folders: Folders) -> None:
    folders.drop("R189_RIVE_202403.csv")
    for cursor in ("{", "[]", '{"version": 99, "operators": 1}'):
        folders.cursor = cursor
        assert asked(folders.look()) == []
    assert len(asked(folders.look())) == 1


def test_a_name_that_is_no_utf_8_is_told_and_delivered_as_text(folders):
    named = folders.drop("a_2024-03.csv")
    named.rename(named.with_name(os.fsdecode(b"\xe9t\xe9_2024-03.csv")))
    unnamed = folders.drop("b.csv", months="2024-02 2024-03")
    unnamed.rename(unnamed.with_name(os.fsdecode(b"f\xe9vrier.csv")))
    folders.look()
    found = folders.look()
    assert [delivery.names for delivery in found.deliveries] == [("\\udce9t\\udce9_2024-03.csv",)]
    assert "f\\udce9vrier.csv: neither its name" in found.told[0]
    assert "\n".join(found.told).encode()
