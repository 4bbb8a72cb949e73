"""An inventory is right or refused: each rule of the files, told with row, column and remedy."""

from decimal import Decimal
from pathlib import Path

import pytest

from billing_pipeline.config import Services
from billing_pipeline.errors import InventoryError
from billing_pipeline.normalize.inventory import Inventory, parse_inventory, read_files
from billing_pipeline.periods import Period

MARCH = Period(2024, 3)
HEADER = (
    "service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,"
    "terminated_on,installed_offer_id,external_reference,serial_number,order_reference"
)
GOOD = "SVC-1,ORANGE,Accès FTTH,C-1,EUR,25.00,0,2022-01-01,,OFR-1,EXT-1,SN-1,CMD-1"


def read(folder: Path, rows: list[str], *, header: str = HEADER, **more: list[str]) -> Inventory:
    headers = {
        "prices": "service_id,valid_from,monthly_price_ht",
        "expected_charges": "service_id,period,amount_ht,description",
    }
    (folder / "services.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    paths = {"inventory": folder / "services.csv"}
    for name, lines in more.items():
        paths[name] = folder / f"{name}.csv"
        paths[name].write_text("\n".join([headers[name], *lines]) + "\n", encoding="utf-8")
    return parse_inventory(read_files(Services(**paths), MARCH), ["ORANGE", "SFR"])


def test_a_service_is_read_with_exact_amounts_and_null_for_empty(tmp_path):
    row = read(tmp_path, [GOOD.replace("25.00", "18.3349")]).services.to_pylist()[0]
    assert row["monthly_price_ht"] == Decimal("18.334900")
    assert row["terminated_on"] is None
    assert row["description"] == "Accès FTTH"


def test_a_byte_order_mark_quotes_and_line_breaks_in_a_field_are_plain_csv(tmp_path):
    text = "\ufeff" + HEADER + "\r\n" + GOOD.replace("Accès FTTH", '"Accès, ""FTTH""\nB"') + "\r\n\r\n"
    (tmp_path / "s.csv").write_bytes(text.encode())
    found = parse_inventory(read_files(Services(inventory=tmp_path / "s.csv"), MARCH), ["ORANGE"])
    assert found.services["description"].to_pylist() == ['Accès, "FTTH"\nB']


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("SVC-1,", ",")], "row 1, column service_id: is empty"),
        ([("SVC-1,", "S" * 256 + ",")], "row 1, column service_id: has more than 255 characters"),
        ([(",EUR,", ",EURO,")], "row 1, column currency: is not an ISO 4217"),
        ([("25.00", "-25.00")], "row 1, column monthly_price_ht: is negative"),
        ([("25.00", '"25,00"')], "row 1, column monthly_price_ht: is not a number"),
        ([("25.00", "NaN")], "row 1, column monthly_price_ht: is not a number"),
        ([("25.00", "1e3")], "row 1, column monthly_price_ht: is not a number"),
        ([("25.00", "25.0000001")], "row 1, column monthly_price_ht: is not a number"),
        ([("25.00", "")], "row 1, column monthly_price_ht: is empty"),
        ([("25.00,0,", "25.00,100.5,")], "row 1, column discount_percent: is outside 0 to 100"),
        ([("2022-01-01", "01/01/2022")], "row 1, column activated_on: is not a date"),
        ([("2022-01-01", "2022-02-30")], "row 1, column activated_on: is not a date"),
        ([("2022-01-01", "2022-W01-1")], "row 1, column activated_on: is not a date"),
        ([("2022-01-01,,", "2022-01-01,2021-12-31,")], "row 1, column terminated_on: is before activated_on"),
        ([("ORANGE", "")], "row 1, column operator_code: is empty"),
        ([(",CMD-1", "")], "row 1: 12 fields, the header has 13"),
    ],
)
def test_an_invalid_row_refuses_the_file_with_row_column_and_remedy(tmp_path, changes, said):
    row = GOOD
    for old, new in changes:
        assert old in row
        row = row.replace(old, new, 1)
    with pytest.raises(InventoryError) as caught:
        read(tmp_path, [row])
    assert said in str(caught.value)
    assert str(tmp_path / "services.csv") in str(caught.value)


def test_a_service_twice_for_its_operator_is_refused_at_the_second_row(tmp_path):
    with pytest.raises(InventoryError, match="row 2, column service_id: stands twice"):
        read(tmp_path, [GOOD, GOOD.replace("OFR-1", "OFR-2")])


def test_one_service_id_under_two_operators_is_two_services(tmp_path):
    found = read(tmp_path, [GOOD, GOOD.replace("ORANGE", "SFR")])
    assert found.of("SFR").services.num_rows == found.of("ORANGE").services.num_rows == 1


def test_a_service_with_prices_may_stand_under_one_operator_only(tmp_path):
    with pytest.raises(InventoryError, match=r"prices\.csv: row 1, column service_id: .*several operators"):
        read(tmp_path, [GOOD, GOOD.replace("ORANGE", "SFR")], prices=["SVC-1,2024-01-01,30.00"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"prices": ["SVC-9,2024-01-01,30.00"]}, "prices.csv: row 1, column service_id: service 'SVC-9' is not in"),
        ({"prices": ["SVC-1,2024-01-01,30.00", "SVC-1,2024-01-01,31.00"]}, "row 2, column valid_from: has two prices"),
        ({"prices": ["SVC-1,2024-01-01,-1"]}, "row 1, column monthly_price_ht: is negative"),
        ({"expected_charges": ["SVC-9,2024-03,80.00,Frais"]}, "column service_id: service 'SVC-9' is not in"),
        ({"expected_charges": ["SVC-1,2024-3,80.00,Frais"]}, "row 1, column period: is not a period"),
        ({"expected_charges": ["SVC-1,2024-03,,Frais"]}, "row 1, column amount_ht: is empty"),
    ],
)
def test_prices_and_charges_have_rules_of_their_own(tmp_path, more, said):
    with pytest.raises(InventoryError) as caught:
        read(tmp_path, [GOOD], **more)
    assert said in str(caught.value)


def test_services_of_operators_that_are_not_configured_are_left_out_with_a_warning_and_their_prices(tmp_path):
    found = read(
        tmp_path,
        [GOOD, GOOD.replace("SVC-1,ORANGE", "SVC-2,BOUYGUES").replace("25.00", "not even a number")],
        prices=["SVC-1,2024-01-01,30.00", "SVC-2,2024-01-01,broken"],
    )
    assert found.services["service_id"].to_pylist() == ["SVC-1"]
    assert found.prices["service_id"].to_pylist() == ["SVC-1"]
    assert any("1 services of BOUYGUES are left out" in warning for warning in found.warnings)


def test_extra_columns_are_reported_and_missing_ones_named(tmp_path):
    found = read(tmp_path, [GOOD + ",x"], header=HEADER + ",colour")
    assert any("unknown columns are not used: colour" in warning for warning in found.warnings)
    with pytest.raises(InventoryError, match="column currency is missing from the header"):
        read(tmp_path, [GOOD.replace(",EUR", "")], header=HEADER.replace(",currency", ""))
    with pytest.raises(InventoryError, match="column currency stands twice"):
        read(tmp_path, [GOOD + ",EUR"], header=HEADER + ",currency")


def test_the_period_in_a_path_is_filled_in(tmp_path):
    (tmp_path / "services-2024-03.csv").write_text(f"{HEADER}\n{GOOD}\n")
    found = parse_inventory(read_files(Services(inventory=tmp_path / "services-{period}.csv"), MARCH), ["ORANGE"])
    assert found.services.num_rows == 1
    with pytest.raises(InventoryError, match=r"services-2024-04\.csv: cannot be read"):
        read_files(Services(inventory=tmp_path / "services-{period}.csv"), Period(2024, 4))


def test_positions_of_charges_are_their_rows_in_the_file(tmp_path):
    found = read(tmp_path, [GOOD], expected_charges=["SVC-1,2024-02,1.00,a", "SVC-1,2024-03,2.00,b"])
    assert [(row["position"], row["period"]) for row in found.charges.to_pylist()] == [(1, "2024-02"), (2, "2024-03")]
