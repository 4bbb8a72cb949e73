"""Every message the README explains is one the program really says."""

import ast
import errno
import os
import re
from functools import cache

import pytest

from billing_pipeline_tests.docs.blocks import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACE = "\0"
# What the operating system says in a message of ours.
SYSTEM = {os.strerror(errno.ENOSPC)}


def _messages() -> list[str]:
    """The quoted messages of the table's first column."""
    section = README.partition("## When something is wrong")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [quoted for cell in cells for quoted in re.findall(r"`([^`]+)`", cell)]


MESSAGES = _messages()


@cache
def _said() -> list[str]:
    """Every string of the package; what an f-string fills in is one character."""
    found = []
    for path in (ROOT / "billing_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else PLACE for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_table_was_read() -> None:
    assert len(MESSAGES) >= 12
    assert len(_said()) > 1000


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_can_be_met(message: str) -> None:
    """All its fixed parts stand in strings of the program, and most of it in one."""
    parts = [part for part in re.split(r"…|'…'", message) if re.search(r"\w", part)]
    assert parts, "nothing but a placeholder"
    for part in parts:
        if part.strip() in SYSTEM:
            continue
        assert any(part.strip() in text for text in _said()), f"nothing says {part.strip()!r}"


def test_a_message_nobody_says_is_noticed() -> None:
    with pytest.raises(AssertionError, match="nothing says"):
        test_a_message_that_is_explained_can_be_met("… the moon is in the wrong house …")
