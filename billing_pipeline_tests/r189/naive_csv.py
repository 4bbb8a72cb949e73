"""The CSV rules of charge files one character at a time, written apart from the reader: what it is measured against."""

from dataclasses import dataclass, field


@dataclass
class NaiveRecord:
    fields: list[str] = field(default_factory=list)
    faulty: bool = False


def naive_records(text: str, newline: str) -> list[NaiveRecord] | None:
    """The records of `text` that are not blank; None where a line break outside quotes is not `newline`."""
    found: list[NaiveRecord] = []
    record, cell, state, at = NaiveRecord(), "", "start", 0
    line_start = 0

    def finish(end: int) -> None:
        record.fields.append(cell)
        if text[line_start:end].strip(" \t"):
            found.append(record)

    while at < len(text):
        char = text[at]
        if state == "quoted":
            if char == '"' and text[at + 1 : at + 2] == '"':
                cell, at = cell + '"', at + 1
            elif char == '"':
                state = "closed"
            else:
                cell += char
        elif char in "\r\n":
            breaks = "\r\n" if text[at : at + 2] == "\r\n" else char
            cut_at_the_end = newline == "\r\n" and at == len(text) - 1 and char == "\r"
            if breaks != newline and not cut_at_the_end:
                return None
            finish(at)
            at += len(breaks) - 1
            record, cell, state, line_start = NaiveRecord(), "", "start", at + 1
        elif char == ";":
            record.fields.append(cell)
            cell, state = "", "start"
        elif char == '"' and state == "start":
            state = "quoted"
        else:
            record.faulty = record.faulty or state == "closed"
            cell, state = cell + char, "unquoted" if state != "closed" else "after"
        at += 1
    if line_start < len(text):
        record.faulty = record.faulty or state == "quoted"
        finish(len(text))
    return found
