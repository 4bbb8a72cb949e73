"""One style per file, from all its cells, or a refusal that says what to set."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.config import ChargeMonthFormat, DateFormat, Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189.detect import detect
from billing_pipeline.r189.profile import FileProfile, Origin

from .charge_file import HEADERS, SOUND, read, row, text_of


def profile_of(folder: Path, content: str | bytes, pinned: Profile | None = None) -> FileProfile:
    path = folder / "received"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return detect(path, pinned or Profile(), name="x.csv")


def amounts(*cells: str) -> str:
    """A file whose only number cells are these, one row each."""
    bare = dict.fromkeys(("Monthly price", "Exchange rate", "Pre-discount amount", "Discount amount", "Tax rate"), "")
    return text_of([row(bare, Taxable_amount=cell) for cell in cells])


def refusal(folder: Path, content: str) -> str:
    with pytest.raises(RefusedFile) as caught:
        profile_of(folder, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("cells", "decimal", "origin"),
    [
        (["12.50"], ".", Origin.DETECTED),
        (["12,50", "3"], ",", Origin.DETECTED),
        (["1,234", "5.5"], ".", Origin.DETECTED),
        (["1,234", "0,5"], ",", Origin.DETECTED),
        (["1,234", "1 000"], ",", Origin.DETECTED),
        (["1,234", "1,234,567"], ".", Origin.DETECTED),
        (["12", "n/a"], ".", Origin.IRRELEVANT),
        (["1,234", "n/a", "(7,5)"], ",", Origin.DETECTED),
    ],
)
def test_the_number_style_is_what_every_readable_cell_allows(tmp_path: Path, cells, decimal, origin):
    profile = profile_of(tmp_path, amounts(*cells))
    assert (profile.decimal, profile.origins["decimal"]) == (decimal, origin)


def test_a_thousand_with_a_comma_alone_is_refused_and_not_guessed(tmp_path: Path):
    message = refusal(tmp_path, amounts("5", "1,234"))
    for part in ("x.csv", "row 2", "'Taxable amount'", "'1,234'", "decimal point", "decimal comma", "profile.decimal"):
        assert part in message


def test_two_number_styles_in_one_file_are_refused_with_both_cells(tmp_path: Path):
    message = refusal(tmp_path, amounts("7", "12.50", "9", "1 000,25"))
    for part in ("row 2", "'12.50'", "row 4", "'1 000,25'", "profile.decimal"):
        assert part in message


def test_a_deciding_cell_counts_wherever_it_stands(tmp_path: Path):
    undecided = ["1,234"] * 40
    assert "fit two styles" in refusal(tmp_path, amounts(*undecided))
    assert profile_of(tmp_path, amounts(*undecided, "0,5")).decimal == ","
    assert profile_of(tmp_path, amounts("0.5", *undecided)).decimal == "."


def test_cells_of_records_that_cannot_be_read_have_no_vote(tmp_path: Path):
    assert profile_of(tmp_path, amounts("12,5") + "1.5;2.5\n").decimal == ","


@pytest.mark.parametrize(
    ("cells", "style"),
    [
        (["2024-03-01"], DateFormat.ISO),
        (["05/04/2024", "13/04/2024"], DateFormat.DAY_FIRST),
        (["05/04/2024", "04/13/2024"], DateFormat.MONTH_FIRST),
        (["01-MAR-2024"], DateFormat.DAY_MONTH_NAME),
        (["20240301", "31/31/2024"], DateFormat.COMPACT),
    ],
)
def test_dates_are_decided_by_a_cell_only_one_style_reads(tmp_path: Path, cells, style):
    bare = {"Period from": "", "Period to": ""}
    content = text_of([row(bare, Invoice_Date=cell) for cell in cells])
    assert profile_of(tmp_path, content).date_format is style


def dates(*cells: str) -> str:
    return text_of([row({"Period from": "", "Period to": "", "Invoice Date": cell}) for cell in cells])


def test_dates_that_read_two_ways_are_refused(tmp_path: Path):
    assert "profile.date_format" in refusal(tmp_path, dates("05/04/2024"))


def test_dates_whose_two_readings_agree_need_no_decision(tmp_path: Path):
    profile = profile_of(tmp_path, dates("05/05/2024"))
    assert profile.origins["date_format"] is Origin.IRRELEVANT


@pytest.mark.parametrize(
    "pair", [("13/04/2024", "04/13/2024"), ("05/04/2024", "2024-04-05"), ("20240405", "2024-04-05")]
)
def test_two_date_styles_in_one_file_are_refused_with_both_cells(tmp_path: Path, pair: tuple[str, str]):
    message = refusal(tmp_path, dates(*pair))
    assert all(repr(cell) in message for cell in pair)


def test_two_charge_month_styles_are_refused_and_one_is_normalised(tmp_path: Path):
    assert "profile.charge_month_format" in refusal(
        tmp_path, text_of([row(Charge_Month="2024-03"), row(Charge_Month="03/2024")])
    )
    profile = profile_of(tmp_path, text_of([row(Charge_Month="Mar-24")]))
    assert profile.charge_month_format is ChargeMonthFormat.MONTH_NAME


@pytest.mark.parametrize(
    ("cells", "scale", "percents"),
    [
        (["20", "8.5"], "percent", ["20", "8.5"]),
        (["20%", "5.5 %"], "percent", ["20", "5.5"]),
        (["0.2", "0.055", "0"], "fraction", ["20", "5.5", "0"]),
        (["0.9%"], "percent", ["0.9"]),
        (["0.9", "20"], "percent", ["0.9", "20"]),
        (["0", "0.00"], "percent", ["0", "0"]),
        (["1"], "fraction", ["100"]),
    ],
)
def test_rates_are_fractions_only_when_all_of_the_file_are(tmp_path: Path, cells, scale, percents):
    reading = read(tmp_path, text_of([row(Tax_rate=cell) for cell in cells]))
    assert reading.profile.tax_rate == scale
    assert [str(one["tax_rate"].normalize() + 0) for one in reading.charges] == [
        str(type(reading.charges[0]["tax_rate"])(one).normalize() + 0) for one in percents
    ]


def test_a_pinned_style_rejects_the_rows_of_another_and_keeps_the_file(tmp_path: Path):
    pinned = Profile(
        decimal=".", date_format=DateFormat.ISO, charge_month_format=ChargeMonthFormat.ISO, tax_rate="fraction"
    )
    rows = [
        row(Tax_rate="0.2"),
        row(Tax_rate="20"),
        row(Tax_rate="0.2", Taxable_amount="20,00"),
        row(Tax_rate="0.2", Invoice_Date="14/04/2024"),
        row(Tax_rate="0.2", Charge_Month="202403"),
        row(Tax_rate="20%"),
    ]
    reading = read(tmp_path, text_of(rows), pinned)
    assert reading.checks == [
        (2, "Tax rate", "type"),
        (3, "Taxable amount", "type"),
        (4, "Invoice Date", "type"),
        (5, "Charge Month", "type"),
        (6, "Tax rate", "type"),
    ]
    settled = {key: origin for key, origin in reading.profile.origins.items() if key != "encoding"}
    assert set(settled.values()) == {Origin.PINNED}


def test_a_pin_reads_what_detection_must_refuse(tmp_path: Path):
    reading = read(tmp_path, amounts("1,234"), Profile(decimal=","))
    assert str(reading.charges[0]["taxable_amount"]) == "1.234000"


@pytest.mark.parametrize(
    ("content", "encoding", "bom", "origin"),
    [
        (text_of([row()]).encode(), "utf-8", False, Origin.DETECTED),
        (b"\xef\xbb\xbf" + text_of([row()]).encode(), "utf-8", True, Origin.DETECTED),
        (text_of([row()]).encode("cp1252"), "windows-1252", False, Origin.DETECTED),
        (text_of([row(Invoice_Contact="", Site_address="")]).encode(), "utf-8", False, Origin.IRRELEVANT),
    ],
)
def test_windows_1252_is_taken_only_when_the_bytes_are_not_utf_8(tmp_path: Path, content, encoding, bom, origin):
    profile = profile_of(tmp_path, content)
    assert (profile.encoding, profile.bom, profile.origins["encoding"]) == (encoding, bom, origin)
    assert profile.absent == ()
    reading = read(tmp_path, content)
    assert reading.charges[0]["invoice_number"] == "INV-1"
    assert reading.charges[0]["invoice_contact"] in ("Zoé Durand", None)


def test_groups_by_a_windows_1252_no_break_space_are_still_groups(tmp_path: Path):
    reading = read(tmp_path, amounts("1\u00a0234,50").encode("cp1252"))
    assert reading.profile.encoding == "windows-1252"
    assert str(reading.charges[0]["taxable_amount"]) == "1234.500000"


def test_bytes_of_no_known_encoding_refuse_the_file_unless_one_is_pinned(tmp_path: Path):
    content = text_of([row(), row(Site_name="\u0153")]).encode("cp1252").replace(b"\x9c", b"\x81")
    with pytest.raises(RefusedFile, match=r"profile\.encoding"):
        profile_of(tmp_path, content)
    assert read(tmp_path, content, Profile(encoding="windows-1252")).checks == [(2, "Site name", "encoding")]
    reading = read(
        tmp_path, text_of([row(), row()]).encode() + content.split(b"\n")[2] + b"\n", Profile(encoding="utf-8")
    )
    assert {(at, check) for at, _, check in reading.checks} == {(3, "encoding")}


def test_a_file_cut_inside_a_character_does_not_garble_every_accent(tmp_path: Path):
    headers = [name for name in HEADERS if name != "Customer name"] + ["Customer name"]
    content = text_of([row(Customer_name="Zoé"), row(Customer_name="Zoé")], headers).encode()[:-2]
    reading = read(tmp_path, content)
    assert reading.profile.encoding == "utf-8"
    assert reading.charges[0]["customer_name"] == "Zoé"
    assert reading.checks == [(2, "Customer name", "encoding")]


def test_headers_match_in_any_order_case_and_spacing(tmp_path: Path):
    headers = [f"  {name.upper()} " for name in reversed(HEADERS)]
    content = ";".join(headers) + "\n" + ";".join(SOUND.get(name, "") for name in reversed(HEADERS)) + "\n"
    reading = read(tmp_path, content)
    assert reading.charges[0]["invoice_number"] == "INV-1"
    assert reading.profile.columns["External Reference"] == 0


def test_extra_columns_are_reported_and_kept_out_and_absent_ones_are_null(tmp_path: Path):
    headers = ["My column", *(name for name in HEADERS if name != "Speed"), ""]
    reading = read(tmp_path, text_of([row()], headers))
    assert (reading.profile.extra, reading.profile.absent) == (("My column", ""), ("Speed",))
    assert reading.charges[0]["speed"] is None
    assert len(reading.charges[0]) == 54


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([*HEADERS, " invoice NUMBER"], "twice"),
        ([*HEADERS, "Mine", "mine"], "twice"),
        ([name for name in HEADERS if name != "Taxable amount"], "lacks Taxable amount"),
        ([name for name in HEADERS if name not in ("Charge Month", "Period to")], "Charge Month"),
        (
            [
                name
                for name in HEADERS
                if name not in ("Installed Offer ID", "External Reference", "Serial Number", "Order reference")
            ],
            "one of Installed Offer ID",
        ),
    ],
)
def test_a_header_that_cannot_be_relied_on_refuses_the_file(tmp_path: Path, headers: list[str], said: str):
    assert said in refusal(tmp_path, text_of([], headers))


def test_both_period_columns_stand_in_for_the_charge_month(tmp_path: Path):
    headers = [name for name in HEADERS if name != "Charge Month"]
    assert read(tmp_path, text_of([row()], headers)).charges[0]["charge_month"] is None


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, content: str):
    assert "empty" in refusal(tmp_path, content)


def test_a_header_without_rows_is_an_empty_file_and_not_an_error(tmp_path: Path):
    reading = read(tmp_path, text_of([]).rstrip("\n"))
    assert (reading.rows, reading.charges, reading.rejected) == (0, [], [])


def test_no_refusal_quotes_a_personal_field(tmp_path: Path):
    message = refusal(tmp_path, amounts("1,234"))
    assert not any(SOUND[name] in message for name in ("Invoice Contact", "Phone Number", "Site address"))


def test_the_profile_is_stored_as_json_with_everything_in_it(tmp_path: Path):
    stored = json.loads(profile_of(tmp_path, text_of([row()], newline="\r\n")).to_json())
    assert (stored["newline"], stored["decimal"], stored["date_format"]) == ("CRLF", ".", "%Y-%m-%d")
    assert stored["origins"]["decimal"] == "detected"
    assert stored["columns"]["Customer Number"] == 0


NUMBERS = st.lists(
    st.sampled_from(["5", "1,234", "12.5", "12,5", "1 234", "1,234.5", "n/a", "-3", "0,125", "2,345,678"]), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.randoms())
def test_the_order_of_rows_never_changes_the_decision(tmp_path_factory: pytest.TempPathFactory, cells, random):
    folder = tmp_path_factory.mktemp("order")

    def outcome(order: list[str]) -> str:
        try:
            return profile_of(folder, amounts(*order)).decimal
        except RefusedFile:
            return "refused"

    shuffled = list(cells)
    random.shuffle(shuffled)
    assert outcome(cells) == outcome(shuffled)


def test_a_file_without_its_header_is_refused_without_quoting_its_first_row(tmp_path: Path):
    content = text_of([row(Customer_name="Zoé Durand")] * 2).split("\n", 1)[1]
    message = refusal(tmp_path, content)
    assert "the header lacks Invoice number" in message
    assert "Zoé" not in message
