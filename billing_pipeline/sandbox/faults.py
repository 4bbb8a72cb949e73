"""What the sandbox can do wrong on purpose: the catalogue, and how one fault is asked for. No HTTP in here.

A fault is asked for as `NAME[@PATH][:first=N|:every=K|:always]`: on the first N, on every K-th or on all of the requests
whose path matches the pattern (`*` stands for any text). What is left out is the fault's own default. How a fault is
done is fault_injection.py.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from billing_pipeline.errors import UsageError

# Which requests a fault can happen to: all; those whose answer is data in JSON; lists; downloads of a report.
Target = Literal["any", "json", "list", "hub_list", "invoicing", "orange", "report"]
_WRITTEN = re.compile(
    r"(?P<name>[a-z0-9_]+)(@(?P<path>[^:\s]+))?(:(first=(?P<first>\d+)|every=(?P<every>\d+)|always))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """`first` is how many requests it happens to unless said otherwise; 0 means all of them."""

    name: str
    description: str
    target: Target = "any"
    first: int = 1


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("rate_limit_seconds", "429 with Retry-After: 1"),
        Fault("rate_limit_date", "429 with Retry-After as an HTTP date, 2 s ahead"),
        Fault("server_error_burst", "503, 500, 502 in turn", first=3),
        Fault("reset", "the connection is reset, the request not looked at"),
        Fault("answer_lost", "the request is carried out, then the connection is reset"),
        Fault("answer_withheld", "the request is carried out, then no answer, the connection stays open"),
        Fault("error_after_effect", "the request is carried out, then 502"),
        Fault("truncated_body", "half of the body that Content-Length announces, then the end"),
        Fault("truncated_without_length", "half of a body without Content-Length, then the end"),
        Fault("gzip_cut", "a complete body whose gzip stream lacks its second half"),
        Fault("drip", "one byte every 0.2 s"),
        Fault("silence", "no answer, the connection stays open"),
        Fault("malformed_json", "JSON that breaks off, of the announced length", "json"),
        Fault("html_with_200", "a maintenance page in HTML with status 200"),
        Fault("wrong_content_type", "the right body as application/octet-stream"),
        Fault("redirect", "302 to another host"),
        Fault("token_expires", "the access token has expired: 401 with code 42", "orange"),
        Fault("token_revoked", "the access token was revoked: 401 with code 41", "orange"),
        Fault("oversized_report", "a report is over 5 MB: 413 with code 65", "report", first=0),
        Fault("item_inserted_while_paging", "an item comes into the list after its first page was read", "list"),
        Fault("item_deleted_while_paging", "an item leaves the list after its first page was read", "list"),
        Fault("total_promises_more", "the declared total is one more than there are", "list", first=0),
        Fault("repeated_ids", "a page lists its first item twice, in place of its last", "list"),
        Fault("line_count_disagrees", "the first invoice of a page declares a line too many", "hub_list", first=0),
        Fault("numbers_as_strings", "numbers of items and lines come as texts", "json", first=0),
        Fault("nulls", "one value of each item or line is null", "json", first=0),
        Fault("hostile_ids", "ids that are paths, headers, formulas, SQL or far too long", "list", first=0),
        Fault("unknown_fields", "members that no documentation names", "json", first=0),
        Fault("missing_required_field", "the first item or line lacks a member it must have", "json", first=0),
        Fault("enums_as_numbers", "type and state of a customer invoice come as numbers", "invoicing", first=0),
    )
}


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault and when it happens. Of `first` and `every` at most one is above 0; neither: always."""

    fault: Fault
    path: str = "*"
    first: int = 0
    every: int = 0

    def matches(self, path: str) -> bool:
        return fnmatchcase(path, self.path)

    def happens(self, ordinal: int) -> bool:
        """Whether it happens to the matching request number `ordinal`, from 1."""
        if self.first:
            return ordinal <= self.first
        return ordinal % self.every == 0 if self.every else True


def parse_fault(text: str) -> FaultRule:
    """`reset@/v1/billing/*:every=3` → its rule. UsageError names what is wrong and the nearest known fault."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a fault; write NAME, NAME@PATH, and :first=N, :every=K or :always behind it")
    fault = FAULTS.get(match["name"])
    if fault is None:
        near = difflib.get_close_matches(match["name"], FAULTS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`billing-pipeline sandbox --help` lists them"
        raise UsageError(f"the sandbox knows no fault {match['name']!r}; {hint}")
    first, every = int(match["first"] or 0), int(match["every"] or 0)
    if (match["first"] and not first) or (match["every"] and not every):
        raise UsageError(f"{text!r}: first and every count from 1")
    said = text.strip().endswith(":always") or first or every
    return FaultRule(fault, match["path"] or "*", first if said else fault.first, every)


def fault_rules(faults: Iterable[str | FaultRule]) -> tuple[FaultRule, ...]:
    return tuple(parse_fault(one) if isinstance(one, str) else one for one in faults)


def list_faults() -> str:
    """One line per fault: its name, what it does, how often unless said otherwise."""
    width = max(map(len, FAULTS))
    lines = (
        f"  {fault.name:<{width}}  {fault.description} ({f'first={fault.first}' if fault.first else 'always'})"
        for fault in FAULTS.values()
    )
    return "\n".join(lines)
