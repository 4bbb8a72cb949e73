"""How one R189 file is written: the outcome of detection. Deciding it is detect.py's; using it is reader.py's."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from billing_pipeline.config import ChargeMonthFormat, DateFormat


class Origin(StrEnum):
    """Where a setting comes from: the operator's profile, the file's cells, or nothing depended on it."""

    PINNED = "pinned"
    DETECTED = "detected"
    IRRELEVANT = "irrelevant"


@dataclass(frozen=True)
class FileProfile:
    """One file's dialect.

    `encoding` is `utf-8` or `windows-1252`; `newline` is what ends a record, `LF`, `CRLF` or `CR`; `width` is the
    number of fields of every record; `columns` maps each published header that is present to its position from 0;
    `absent` are the published headers that are missing, `extra` the file's other headers as written;
    `origins` says of `encoding`, `decimal`, `date_format`, `charge_month_format` and `tax_rate` where they come from.
    """

    encoding: str
    bom: bool
    newline: str
    decimal: str
    date_format: DateFormat
    charge_month_format: ChargeMonthFormat
    tax_rate: str
    width: int
    columns: Mapping[str, int]
    absent: tuple[str, ...]
    extra: tuple[str, ...]
    origins: Mapping[str, Origin]

    def to_json(self) -> str:
        """The profile as one JSON object with sorted keys, equal for equal profiles."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
