"""A small operator with a history: files that share invoice numbers, written by the tests that change them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from billing_pipeline_tests.pipeline.places import Place

HEADER = (
    "Invoice number;Document type;Charge Currency;Taxable amount;Charge Month;Frequency;Monthly price;"
    "Charge Description;Installed Offer ID;Site address"
)
CONFIGURATION = """\
version: 1
first_period: "2024-01"
storage: {data_dir: ./data}
services: {inventory: ./services.csv}
operators:
  - code: RIVE
    name: Rive
    source: {type: r189_files, folder: ./inbox/rive}
"""
SERVICES = """\
service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,terminated_on,installed_offer_id,external_reference,serial_number,order_reference
R1,RIVE,Accès 1,CUST-1,EUR,30.00,0,2022-01-01,,OFR-R1,,,
R2,RIVE,Accès 2,CUST-1,EUR,40.00,0,2022-01-01,,OFR-R2,,,
R3,RIVE,Accès 3,CUST-2,EUR,50.00,0,2022-01-01,,OFR-R3,,,
"""
Line = tuple[str, str, str, str]  # invoice, service, amount, month
# Each month's file repeats an invoice of another month with other content, so that owning it depends on all of them.
FILES: Mapping[str, Sequence[Line]] = {
    "2024-01": [("RI-1", "R1", "30.00", "2024-01"), ("RI-1", "R2", "40.00", "2024-01"), ("RI-X", "R3", "50.00", "2024-01")],
    "2024-02": [("RI-2", "R1", "30.00", "2024-02"), ("RI-2", "R2", "41.00", "2024-02"), ("RI-X", "R3", "55.00", "2024-02"),
                ("RI-Y", "R3", "50.00", "2024-02")],
    "2024-03": [("RI-3", "R1", "30.00", "2024-03"), ("RI-3", "R2", "40.00", "2024-03"), ("RI-X", "R3", "57.00", "2024-03"),
                ("RI-Y", "R3", "58.00", "2024-03"), ("RI-Z", "R3", "50.00", "2024-03")],
}  # fmt: skip


def write_inputs(place: Place) -> None:
    """The configuration and inventory; no file has been delivered yet."""
    write_configuration(place.folder)


def write_configuration(folder: Path, data: Path | None = None) -> None:
    """The same into any folder; `data` is where data_dir lies if not beside it."""
    (folder / "inbox" / "rive").mkdir(parents=True)
    text = CONFIGURATION if data is None else CONFIGURATION.replace("./data", str(data))
    (folder / "billing.yaml").write_text(text, encoding="utf-8")
    (folder / "services.csv").write_text(SERVICES, encoding="utf-8")


def charge_file(lines: Sequence[Line]) -> str:
    """An R189 file of these lines."""
    rows = [
        f'{invoice};Invoice;EUR;{amount};{of};Monthly;{amount};"Abonnement; {service}";OFR-{service};12 rue de la Paix'
        for invoice, service, amount, of in lines
    ]
    return "\n".join([HEADER, *rows, ""])


def deliver(place: Place, month: str, lines: Sequence[Line] | None = None, suffix: str = "") -> None:
    """Put a charge file into the inbox, over the one of the same name."""
    name = f"inbox/rive/R189_RIVE_{month.replace('-', '')}{suffix}.csv"
    place.write(name, charge_file(FILES[month] if lines is None else lines))
