"""Where records end and what fields hold: hand-written corners, then the reader's two paths against a naive one."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189 import tokenizer
from billing_pipeline.r189.blocks import BlockReader
from billing_pipeline.r189.header import Header

from .naive_csv import naive_records


def split(data: bytes, newline: bytes = b"\n") -> list[list[bytes] | str]:
    return [
        record.fault or [tokenizer.content(data, span) for span in record.spans]
        for record in tokenizer.records(data, 0, at_end=True, newline=newline)
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a;b\nc;d\n", [[b"a", b"b"], [b"c", b"d"]]),
        (b"a;b", [[b"a", b"b"]]),
        (b'"a;b";"c""d"\n', [[b"a;b", b'c"d']]),
        (b'"a\r\nb\nc\rd";e\n', [[b"a\r\nb\nc\rd", b"e"]]),
        (b'6" nail;a"b"\n', [[b'6" nail', b'a"b"']]),
        (b' "a";b\n', [[b' "a"', b"b"]]),
        (b'"a"x;b\nc;d\n', ["text follows a closing quote", [b"c", b"d"]]),
        (b'"a" ;b\n', ["text follows a closing quote"]),
        (b'"a"x"y;z\nc;d\n', ["text follows a closing quote", [b"c", b"d"]]),
        (b'a;"b\nc;d\n', ["a quote is never closed"]),
        (b'a;"', ["a quote is never closed"]),
        (b'a;""', [[b"a", b""]]),
        (b'"""";""\n', [[b'"', b""]]),
        (b"\n\na;b\n \t\n\n", [[b"a", b"b"]]),
        (b'""\n', [[b""]]),
        (b";\n", [[b"", b""]]),
    ],
)
def test_every_corner_of_a_record_reads_as_written_down(data: bytes, expected: list[object]):
    assert split(data) == expected


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_any_one_kind_of_line_end_ends_records(newline: bytes):
    assert split(newline.join([b"a;b", b'"c\n\r\r\nd";e', b""]), newline) == [[b"a", b"b"], [b"c\n\r\r\nd", b"e"]]


@pytest.mark.parametrize("data", [b"a\r\nb\n", b"a\nb\rc\n", b"a\rb\n", b"a\nb\r\n"])
def test_a_second_kind_of_line_end_is_never_taken_for_data(data: bytes):
    newline = b"\r\n" if data.startswith(b"a\r\n") else data[1:2]
    with pytest.raises(tokenizer.MixedRecordEnds):
        split(data, newline)


def test_a_file_cut_inside_its_last_crlf_still_ends_its_record():
    assert split(b"a\r\nb\r", b"\r\n") == [[b"a"], [b"b"]]


def test_a_record_that_may_go_on_is_not_ended_by_the_end_of_a_block():
    for data in (b"a;b", b'"a"', b'a;"b', b'"a""', b"a\r"):
        assert tokenizer.read_record(data, 0, at_end=False, newline=None) is None


def test_a_field_of_one_mebibyte_is_read_and_a_longer_one_is_not():
    limit = tokenizer.FIELD_LIMIT
    assert split(b"a" * limit + b"\n") == [[b"a" * limit]]
    for data in (b"a" * (limit + 1), b'"' + b"a" * (limit + 1) + b'"', b'"' + b"a" * (limit + 2)):
        with pytest.raises(tokenizer.FieldTooLong):
            split(data)


WIDTH = 3
HEADERS = ("Invoice number", "Document type", "Taxable amount")
MARKS = st.sampled_from(['"', '""', ";", ";", "\n", "\r\n", "\r", "a", "é", " ", "\t", "1,5", "\u202f", "\0"])
CELL = st.text(st.sampled_from('";\r\naé 1'), max_size=6)


def written(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in '";\r\n') else cell


# Quotes where a sound writer puts none: beside text, after a space, alone.
ODD_CELL = st.sampled_from(['x"', 'a"b"', '6" rack', ' "a"', '"a" ', '"a"b', '"', '""', "x", "y", '"z;"'])


@st.composite
def delimited(draw: st.DrawFn) -> tuple[str, str]:
    """(text, line end): mostly sound records, some of another width, some raw noise between."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = draw(
        st.lists(
            st.one_of(
                st.lists(CELL.map(written), min_size=WIDTH, max_size=WIDTH).map(";".join),
                st.lists(CELL.map(written), min_size=WIDTH, max_size=WIDTH).map(";".join),
                st.lists(CELL.map(written), max_size=5).map(";".join),
                st.lists(ODD_CELL, min_size=WIDTH, max_size=WIDTH).map(";".join),
                st.lists(MARKS, max_size=8).map("".join),
            ),
            max_size=12,
        )
    )
    return newline.join(lines) + draw(st.sampled_from(["", newline])), newline


def in_blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@settings(max_examples=600, deadline=None)
@given(delimited(), st.integers(1, 200))
def test_the_fast_and_the_exact_path_read_what_a_naive_reader_reads(made: tuple[str, str], size: int):
    text, newline = made
    header = Header(WIDTH, {name: at for at, name in enumerate(HEADERS)}, (), ())
    reader = BlockReader(
        header, newline.encode(), "x.csv", coded=HEADERS[2:], plain=HEADERS[:2], check_utf8=False, replaced=False
    )
    expected = naive_records(text, newline)
    if expected is None:
        with pytest.raises(RefusedFile):
            list(reader.pieces(in_blocks(text.encode(), size)))
        return
    cells: dict[int, list[str]] = {}
    faults: dict[int, str] = {}
    for piece in reader.pieces(in_blocks(text.encode(), size)):
        for at, (number, values) in enumerate(zip(piece.rows.tolist(), piece.cells.to_pylist(), strict=True)):
            cells[number] = [values[name] or "" for name in HEADERS]
            record = piece.record(at)
            again = [tokenizer.content(piece.data, span).decode() for span in record.spans]
            assert again == cells[number], "the bytes kept for a row are another row's"
        faults |= {fault.source_row: fault.check for fault in piece.faults}
    for number, record in enumerate(expected, start=1):
        if record.faulty:
            assert faults[number] == "quote"
        elif len(record.fields) != WIDTH:
            assert faults[number] == "field_count"
        elif any("\0" in one for one in record.fields):
            assert faults[number] == "nul"
        else:
            assert cells[number] == record.fields
    assert len(cells) + len(faults) == len(expected) == reader.rows_seen


@settings(max_examples=300, deadline=None)
@given(st.lists(MARKS, max_size=14).map("".join), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_exact_tokenizer_agrees_with_a_naive_one_on_noise(text: str, newline: str):
    expected = naive_records(text, newline)
    data = text.encode()
    if expected is None:
        with pytest.raises(tokenizer.MixedRecordEnds):
            split(data, newline.encode())
        return
    got = split(data, newline.encode())
    assert len(got) == len(expected)
    for one, record in zip(got, expected, strict=True):
        assert isinstance(one, str) == record.faulty
        if not isinstance(one, str):
            assert [cell.decode() for cell in one] == record.fields


def test_ordinary_quotes_do_not_send_a_file_through_the_slow_path():
    """Doubled quotes, line breaks and delimiters inside quotes, wrong widths, blank lines and inches are all regular."""
    text = '"a ""b""; c";"";"""x"""\nd;"e\r\nf";g\n\n1;2\n  \n6" rack;b"c"d;e\n' * 100
    header = Header(WIDTH, {name: at for at, name in enumerate(HEADERS)}, (), ())
    reader = BlockReader(header, b"\n", "x.csv", coded=(), plain=HEADERS, check_utf8=True, replaced=False)
    pieces = list(reader.pieces(iter([text.encode()])))
    assert (reader.rows_seen, reader.rows_read_exactly) == (400, 0)
    assert pieces[0].cells.to_pylist()[0] == {HEADERS[0]: 'a "b"; c', HEADERS[1]: None, HEADERS[2]: '"x"'}
