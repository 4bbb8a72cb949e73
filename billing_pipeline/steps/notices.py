"""What a loaded month shows that somebody should look at and that stops nothing: contradictions inside its invoices, and
charge files written otherwise than before. Reads the tables, changes nothing."""

import json
from collections import Counter
from typing import Any

import pyarrow.compute as pc

from billing_pipeline.config import Operator
from billing_pipeline.periods import Period
from billing_pipeline.r189.profile import Origin
from billing_pipeline.steps.workspace import Workspace

# What decides how cells are read. Line ends, a byte order mark and the order of columns change no value.
_STYLES = ("encoding", "decimal", "date_format", "charge_month_format", "tax_rate")
_HEADERS = ("absent", "extra")


def findings_by_code(workspace: Workspace, operator: Operator, period: Period) -> dict[str, int]:
    """How many findings the month's invoices have, by code."""
    rows = workspace.partitions.read("invoice_findings", operator.code, [str(period)], ["code"])
    return dict(sorted(Counter(rows["code"].to_pylist()).items()))


def dialects(workspace: Workspace, operator: Operator, period: Period) -> list[dict[str, str]]:
    """How each charge file of the month is written and by what that is known, first by name; no file, no row."""
    documents = workspace.partitions.read(
        "source_documents", operator.code, [str(period)], ["location", "profile"]
    ).to_pylist()
    read = sorted((str(row["location"]), json.loads(row["profile"])) for row in documents if row["profile"])
    return [
        {
            "file": location.rpartition("/")[2],
            **{name: f"{profile[name]} ({profile['origins'][name]})" for name in _STYLES},
            "columns": str(len(profile["columns"])),
            **{name: ", ".join(profile[name]) or "none" for name in _HEADERS},
        }
        for location, profile in read
    ]


def drift(workspace: Workspace, operator: Operator, period: Period) -> list[str]:
    """In one line each, how the month's charge files differ from those of the latest month before that has any: an
    operator that changes its files without a word changes what is read from them."""
    columns = ["period", "location", "profile"]
    documents = workspace.partitions.read("source_documents", operator.code, None, columns)
    read = documents.filter(pc.is_valid(documents["profile"])).to_pylist()
    before = max((row["period"] for row in read if row["period"] < str(period)), default=None)
    if before is None:
        return []
    known = [json.loads(row["profile"]) for row in read if row["period"] == before]
    return [
        f"{str(row['location']).rpartition('/')[2]}: {name} {_shown(value)}, in {before} {_shown(*usual)}"
        for row in read
        if row["period"] == str(period)
        for name, value in _decided(json.loads(row["profile"])).items()
        if (usual := sorted({own[name] for one in known if name in (own := _decided(one))})) and value not in usual
    ]


def _decided(profile: dict[str, Any]) -> dict[str, str]:
    """The styles that the file's cells depend on, and which columns it lacks or has beside the published ones."""
    styles = {name: profile[name] for name in _STYLES if profile["origins"].get(name) != Origin.IRRELEVANT}
    return {**styles, **{f"{name} columns": ", ".join(sorted(profile[name])) for name in _HEADERS}}


def _shown(*values: str) -> str:
    return " or ".join(repr(value) if value else "none" for value in values)
