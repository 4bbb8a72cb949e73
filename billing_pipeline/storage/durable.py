"""Files that survive a power cut: written beside their place, synced, renamed into it. What is in them is not known here."""

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def make_directory(folder: Path) -> None:
    """`folder` with its parents, each new one synced into the one above."""
    if folder.is_dir():
        return
    make_directory(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_directory(folder.parent)


def sync_directory(folder: Path) -> None:
    """Make the renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_into_place(source: Path, target: Path) -> None:
    """Rename an already synced file over `target`, whose folder is made if need be."""
    make_directory(target.parent)
    source.replace(target)
    sync_directory(target.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace `path` whole; a file that already says the same is left alone."""
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True, default=str).encode()
    with suppress(OSError):
        if path.read_bytes() == text:
            return
    _write(path, text)


def write_text(path: Path, text: str) -> None:
    """Replace `path` whole."""
    _write(path, text.encode())


def _write(path: Path, content: bytes) -> None:
    incoming = path.with_name(f".incoming-{uuid.uuid4().hex}")
    try:
        with incoming.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        move_into_place(incoming, path)
    finally:
        incoming.unlink(missing_ok=True)
