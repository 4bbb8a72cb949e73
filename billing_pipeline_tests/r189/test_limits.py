"""Files that are too much, cut, or not what their name says: refused in a line, or balanced; never a crash."""

import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.config import DateFormat, Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189.detect import detect
from billing_pipeline.r189.reader import R189File

from .charge_file import read, row, text_of

FEW = (
    "Customer name", "Invoice number", "Document type", "Period from", "Period to", "Charge Month", "Site name",
    "Site address", "Charge Currency", "Pre-discount amount", "Discount amount", "Taxable amount", "Tax rate",
    "Phone Number", "Serial Number",
)  # fmt: skip
SMALL = text_of(
    [
        row(Site_name='a "b"; c\r\nd', Customer_name="Zoé"),
        row(Taxable_amount="n/a"),
        row({"Document type": "Avoir", "Customer name": "Œuvre"}),
    ],
    FEW,
)


def refused(folder: Path, content: bytes, name: str) -> str:
    path = folder / "received"
    path.write_bytes(content)
    with pytest.raises(RefusedFile) as caught:
        detect(path, Profile(), name=name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_gzipped_file_reads_as_the_plain_one_and_is_hashed_as_received(tmp_path: Path):
    plain, zipped = read(tmp_path, SMALL), read(tmp_path, SMALL, name="x.csv.gz")
    assert plain.checks == zipped.checks
    assert [one["site_name"] for one in plain.charges] == [one["site_name"] for one in zipped.charges]
    assert plain.sha256 != zipped.sha256


def test_several_gzip_members_and_padding_are_one_file(tmp_path: Path):
    data = SMALL.encode()
    path = tmp_path / "received"
    path.write_bytes(gzip.compress(data[:100]) + gzip.compress(data[100:]) + b"\0" * 512)
    file = R189File(path, Profile(), name="x.csv.gz")
    assert sum(batch.rows for batch in file.batches()) == 3


def test_a_gz_that_is_no_gzip_is_refused(tmp_path: Path):
    assert "gzip" in refused(tmp_path, SMALL.encode(), "x.csv.gz")
    assert "gzip" in refused(tmp_path, b"", "x.csv.gz")
    assert "gzip" in refused(tmp_path, gzip.compress(SMALL.encode()) + b"garbage", "x.csv.gz")


def test_gzip_under_a_plain_name_is_refused_with_its_remedy(tmp_path: Path):
    assert ".csv.gz" in refused(tmp_path, gzip.compress(SMALL.encode()), "x.csv")


def test_utf_16_is_refused_by_name(tmp_path: Path):
    assert "UTF-16" in refused(tmp_path, SMALL.encode("utf-16"), "x.csv")


def test_an_archive_of_nothing_but_separators_is_refused_before_it_fills_the_memory(tmp_path: Path):
    bomb = gzip.compress(text_of([row()]).encode() + b";" * (80 * 1024 * 1024))
    tracemalloc.start()
    try:
        assert "10000 fields" in refused(tmp_path, bomb, "x.csv.gz")
        assert tracemalloc.get_traced_memory()[1] < 300 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert "10000 fields" in refused(tmp_path, gzip.compress(b";" * (80 * 1024 * 1024)), "x.csv.gz")


def test_a_gzip_cut_anywhere_is_refused(tmp_path: Path):
    whole = gzip.compress(SMALL.encode())
    for length in range(len(whole)):
        refused(tmp_path, whole[:length], "x.csv.gz")


def test_a_gzip_with_a_wrong_checksum_is_refused(tmp_path: Path):
    whole = bytearray(gzip.compress(SMALL.encode()))
    whole[-8] ^= 1
    refused(tmp_path, bytes(whole), "x.csv.gz")


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(text_of([row()]).encode())
    for _ in range(100):
        bomb += packer.compress(b"\n" * 1_000_000)
    tracemalloc.start()
    message = refused(tmp_path, bomb + packer.flush(), "x.csv.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "100:1" in message
    assert peak < 150_000_000


def test_a_field_over_one_mebibyte_refuses_the_file_and_one_at_it_does_not(tmp_path: Path):
    limit = 1024 * 1024
    assert read(tmp_path, text_of([row(Site_name="a" * limit)])).rows == 1
    message = refused(tmp_path, text_of([row(), row(Site_name="a" * (limit + 1))]).encode(), "x.csv")
    assert "row 2" in message


def test_a_quote_never_closed_in_a_large_file_is_named_by_its_row(tmp_path: Path):
    lines = text_of([row()] * 10_000).split("\n")
    lines[5] = lines[5].replace(";INV-1;", ';"INV-1;')
    assert "row 5" in refused(tmp_path, "\n".join(lines).encode(), "x.csv")


def test_a_file_cut_at_any_byte_is_balanced_or_refused(tmp_path: Path):
    pinned = Profile(decimal=".", date_format=DateFormat.ISO)
    data = SMALL.encode()
    header = data.index(b"\n")
    counts = []
    for length in range(header - 20, len(data) + 1):
        try:
            reading = read(tmp_path, data[:length], pinned)
        except RefusedFile:
            assert length < header
            continue
        assert reading.balances
        counts.append(reading.rows)
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 3)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SMALL.encode()) - 1), st.sampled_from(b'";\r\n\0,. \xe9\x81\xff19a-/%(')),
        max_size=6,
    ),
    st.sampled_from([Profile(), Profile(encoding="utf-8"), Profile(encoding="windows-1252", decimal=",")]),
)
def test_no_damage_to_a_file_crashes_it_or_loses_a_row(tmp_path_factory: pytest.TempPathFactory, damage, profile):
    data = bytearray(SMALL.encode())
    for at, byte in damage:
        data[at] = byte
    try:
        reading = read(tmp_path_factory.mktemp("fuzz"), bytes(data), profile, rows_per_batch=2)
    except RefusedFile:
        return
    assert reading.balances


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_header_are_balanced_or_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes):
    try:
        reading = read(tmp_path_factory.mktemp("noise"), text_of([row()]).encode() + noise)
    except RefusedFile:
        return
    assert reading.balances


def test_rows_past_the_first_block_keep_their_numbers(tmp_path: Path):
    """Some 20 MB, so several blocks, with one irregular row in each ten thousand."""
    line = text_of([row(Site_address="x" * 300)]).split("\n")[1]
    odd = line.replace(";INV-1;", ';"INV"-1;')
    header = text_of([]).rstrip("\n")
    lines = [odd if at % 10_000 == 0 else line for at in range(1, 35_001)]
    path = tmp_path / "received"
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    loaded, rejected = 0, []
    for batch in R189File(path, Profile(), name="x.csv").batches():
        numbers = batch.charges.column("source_row").to_pylist()
        rejected += batch.rejected.column("source_row").to_pylist()
        assert numbers == sorted(set(numbers))
        loaded += len(numbers)
    assert rejected == [10_000, 20_000, 30_000]
    assert loaded == 35_000 - 3
