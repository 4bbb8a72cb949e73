"""Every verdict that awkward/ must earn and that is not plainly MATCHED, worked out by hand from its files.

One row per item: operator, period, item (a line as `line:<invoice>:<row>`), status, reason, difference, and in words the
file, the row (1 = first record after the header) and the arithmetic. Whatever is not in here is MATCHED without a reason.
"""

from decimal import Decimal

Expected = tuple[str, str, str, str, str | None, Decimal | None, str]


def _verdict(where: str, item: str, status: str, reason: str | None, difference: str | None, because: str) -> Expected:
    operator, period = where.split()
    return operator, period, item, status, reason, None if difference is None else Decimal(difference), because


MATCHED, UNMATCHED, DISCREPANCY = "MATCHED", "UNMATCHED", "DISCREPANCY"
EXPECTED = [
    # BRIO, THIRTIETHS. R189_BRIO_202401.csv:
    _verdict("BRIO 2024-01", "service:B02", DISCREPANCY, "DISCOUNT_MISSING", "2.50",
             "row 2: 31 days at 25.00 less 10 % = 22.50, billed 25.00"),
    _verdict("BRIO 2024-01", "service:B04", DISCREPANCY, "PRORATION", "-0.48",
             "row 4: from the 17th, 15 thirtieths of 30.00 = 15.00, billed 30.00 x 15/31 = 14.52, which is ACTUAL_DAYS"),
    _verdict("BRIO 2024-01", "service:B11", DISCREPANCY, "CURRENCY_MISMATCH", None,
             "row 10: 12.00 GBP without an invoicing pair for a contract of 15.00 EUR"),
    _verdict("BRIO 2024-01", "service:B12", DISCREPANCY, "DUPLICATE_LINE", "12.00",
             "rows 11 and 12: 12.00 twice for the same days, descriptions equal but for case and spaces"),
    _verdict("BRIO 2024-01", "line:BR-01-B:14", DISCREPANCY, "UNEXPECTED_CHARGE", "5.00",
             "row 14: no frequency and no Monthly price, so one-off, and nobody expects 5.00"),
    _verdict("BRIO 2024-01", "service:B14", MATCHED, "ROUNDING", "-0.01",
             "no row: a symbolic 0.01 is within the tolerance of 0.01"),
    _verdict("BRIO 2024-01", "line:BR-01-B:17", UNMATCHED, "AMBIGUOUS_SERVICE", "4.90",
             "row 17: order CMD-LOT is that of B15 and of B16, both active"),
    _verdict("BRIO 2024-01", "service:B17", UNMATCHED, "LINE_REJECTED", "-19.00",
             "row 18: Taxable amount 'abc' rejects the row, which carries OFR-B17; 19.00 expected"),
    _verdict("BRIO 2024-01", "service:B18", DISCREPANCY, "UNEXPLAINED", "1.00",
             "rows 19 and 20: 10.00 + 7.00 for a price of 16.00, two lines"),
    _verdict("BRIO 2024-01", "line:BR-01-B:23", UNMATCHED, "UNKNOWN_SERVICE", "9.90",
             "row 23: OFR-NOBODY is no service's"),
    _verdict("BRIO 2024-01", "line:BR-01-B:24", UNMATCHED, "UNKNOWN_SERVICE", "3.00",
             "row 24: a one-off charge of OFR-NOBODY"),
    _verdict("BRIO 2024-01", "service:B20", UNMATCHED, "BILLED_BEFORE_ACTIVATION", "30.00",
             "row 25: B20 begins on 2024-03-11, no day in January, billed 30.00"),
    _verdict("BRIO 2024-01", "line:BR-01-B:28", DISCREPANCY, "UNEXPECTED_CHARGE", "8.00",
             "row 28: 8.00 of usage that nobody expects"),
    # R189_BRIO_202402.csv.gz:
    _verdict("BRIO 2024-02", "service:B03", DISCREPANCY, "STALE_PRICE", "-5.00",
             "row 3: 40.00 since 2024-02-01, billed the 35.00 of before"),
    _verdict("BRIO 2024-02", "service:B05", DISCREPANCY, "BILLED_AFTER_TERMINATION", "20.67",
             "row 5: ended on the 10th, 10/30 of 31.00 = 10.33, billed 31.00 to the 29th"),
    _verdict("BRIO 2024-02", "service:B07", UNMATCHED, "NOT_BILLED", "-18.00", "no row in any file has 18.00 for February"),
    _verdict("BRIO 2024-02", "service:B08", MATCHED, "ROUNDING", "0.01",
             "R189_BRIO_202401.csv row 7: 100.00 for a quarter is 33.33, then 66.67 - 33.33 = 33.34, then 33.33"),
    _verdict("BRIO 2024-02", "service:B14", MATCHED, "ROUNDING", "-0.01", "as in January"),
    _verdict("BRIO 2024-02", "line:BR-02-A:16", MATCHED, "ROUNDING", "0.01",
             "row 16: 45.01 for the expected charge of 45.00"),
    # R189_BRIO_202403.csv, read once although R189_BRIO_202403_bis.csv is equal:
    _verdict("BRIO 2024-03", "service:B02", MATCHED, "ROUNDING", "0.01", "row 2: 22.51 for 22.50"),
    _verdict("BRIO 2024-03", "service:B03", DISCREPANCY, "PRICE_MISMATCH", "2.00",
             "row 3: 42.00, and no price of the history (35.00, 40.00) explains it"),
    _verdict("BRIO 2024-03", "service:B05", UNMATCHED, "BILLED_AFTER_TERMINATION", "31.00",
             "row 5: ended in February, billed 31.00 for March"),
    _verdict("BRIO 2024-03", "line:BR-03-U:12", DISCREPANCY, "CURRENCY_MISMATCH", None,
             "row 12: 3.00 USD beside the 15.00 EUR of row 11 that are right"),
    _verdict("BRIO 2024-03", "service:B14", MATCHED, "ROUNDING", "-0.01", "as in January"),
    _verdict("BRIO 2024-03", "service:B20", DISCREPANCY, "BILLED_BEFORE_ACTIVATION", "9.00",
             "row 20: from the 11th, 21/30 of 30.00 = 21.00, billed 30.00 from the 1st"),
    # CAPRI, FULL_START_MONTH. `livraison finale.csv`, which is January's by its rows alone:
    _verdict("CAPRI 2024-01", "service:C06", DISCREPANCY, "UNEXPLAINED", "-5.00",
             "rows 5 and 6: 25,00 less a credit of 5,00, which the file writes without its sign"),
    # R189-CAPRI-2024-02.csv:
    _verdict("CAPRI 2024-02", "service:C03", DISCREPANCY, "PRORATION", "-28.97",
             "row 3: the start month counts in full, 60.00; billed 60.00 x 15/29 = 31,03, which is ACTUAL_DAYS"),
    # R189-CAPRI-2024-03.csv:
    _verdict("CAPRI 2024-03", "service:C04", DISCREPANCY, "PRICE_MISMATCH", "50.00",
             "row 4: the termination month is free, also when it ends on its last day; billed 50,00"),
    _verdict("CAPRI 2024-03", "service:C05", UNMATCHED, "BILLED_AFTER_TERMINATION", "33.00",
             "row 6: ended on 2024-02-10, billed 33,00 for March"),
    # DELTA, ACTUAL_DAYS. R189_DELTA_202403.csv:
    _verdict("DELTA 2024-03", "service:D03", DISCREPANCY, "BILLED_AFTER_TERMINATION", "21.00",
             "row 3: ended on the 10th, 10/31 of 31.00 = 10.00; dated by its month alone and equal to the whole month"),
    _verdict("DELTA 2024-03", "service:D04", DISCREPANCY, "PRICE_MISMATCH", "1.00",
             "row 4: to the 15th, 15/31 of 31.00 = 15.00, billed 16.00 for just those days"),
    # ECLAT, FULL_MONTH. R189_ECLAT_202403.csv:
    _verdict("ECLAT 2024-03", "service:E02", DISCREPANCY, "PRORATION", "-38.71",
             "row 2: one day is the full 40.00; billed 40.00 x 1/31 = 1.29, which is ACTUAL_DAYS"),
]  # fmt: skip

# Items that are right, and that a plausible mistake would make wrong.
RIGHT = [
    ("BRIO", "2024-01", "service:B01", "30.00", "row 1: key '  ofr-b01 ' in another case and with spaces around it"),
    ("BRIO", "2024-01", "service:B06", "20.00", "R189_BRIO_202403.csv row 7: March's invoice catches up on January"),
    ("BRIO", "2024-01", "service:B10", "40.00", "row 9: charged 44.00 USD, invoiced 40.00 EUR, contract in EUR"),
    ("BRIO", "2024-01", "service:B13", "14.00", "row 13: no frequency but a Monthly price, so recurring"),
    ("BRIO", "2024-01", "service:B15", "21.00", "row 15: by External Reference 'ext/b15'"),
    ("BRIO", "2024-01", "service:B16", "23.00", "row 16: by Serial Number ' SN-B16'"),
    ("BRIO", "2024-01", "line:BR-01-B:22", "60.00", "row 22: the expected 60.00"),
    ("BRIO", "2024-01", "service:B21", "0.00", "rows 26 and 27: ended in 2023, billed 10.00 and credited 10.00"),
    ("BRIO", "2024-02", "service:B01", "30.00", "row 20 is of January's invoice BR-01-A once more and counts no second time"),
    ("BRIO", "2024-02", "service:B12", "12.00", "rows 7 to 9: billed twice, credited once"),
    ("BRIO", "2024-03", "service:B09", "50.00", "row 9: 50.00 USD for a contract in USD"),
    ("CAPRI", "2024-01", "service:C01", "1234.50", "row 1: '1 234,50' with a no-break space"),
    ("CAPRI", "2024-01", "service:C02", "60.00", "row 2: began on the 20th, the start month counts in full"),
    ("DELTA", "2024-03", "service:D01", "21.00", "row 1: from the 11th, 21/31 of 31.00"),
    ("DELTA", "2024-03", "service:D02", "47.00", "row 2: 15/31 of 31.00 and 16/31 of 62.00 since the 16th"),
    ("ECLAT", "2024-03", "service:E01", "40.00", "row 1: two days are the full 40.00"),
]  # fmt: skip
