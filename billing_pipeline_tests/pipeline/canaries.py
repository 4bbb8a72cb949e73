"""Looking for secrets wherever a run leaves something: files (packed ones unpacked), databases, what was printed.

What is searched is decoded first: a Parquet page, a gzip and Dagster's snapshots are compressed, and a search of their
bytes would find nothing whatever stood in them.
"""

import base64
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pyarrow.parquet as pq
from psycopg import sql

Text = tuple[str, bytes]  # where it stands, what stands there
_BYTEA = re.compile(rb"\\\\x((?:[0-9a-f]{2})+)")


def leaks(secrets: Iterable[str], texts: Iterable[Text]) -> list[str]:
    """Where a secret stands, as it is, in a URL, or in Base64 as HTTP sends it; never the secret itself."""
    wanted = [(number, form) for number, secret in enumerate(secrets) for form in _forms(secret)]
    assert wanted
    return [f"secret {number} in {where}" for where, text in texts for number, form in wanted if form in text]


def _forms(secret: str) -> set[bytes]:
    assert len(secret) > 8, "so short a secret is found by chance"
    return {secret.encode(), quote(secret, safe="").encode(), base64.b64encode(secret.encode()).rstrip(b"=")}


def in_folder(folder: Path) -> Iterator[Text]:
    """Every file, with its name. Not a database's own files: its tables are asked instead."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "cluster" not in path.parts:
            name = str(path.relative_to(folder))
            yield name, name.encode()
            yield name, _unpacked(path)


def _unpacked(path: Path) -> bytes:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        return str([file.schema_arrow.metadata, file.metadata.metadata, file.read().to_pylist()]).encode()
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError):
        return content


def in_database(url: str) -> Iterator[Text]:
    """Every table of the database, all columns as text, compressed ones unpacked; and the comments on them."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert found
        for schema, name in (*found, ("pg_catalog", "pg_description")):
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, name))) as rows:
                text = b"".join(bytes(part) for part in rows)
            yield f"{schema}.{name}", text
            for packed in _BYTEA.findall(text):
                yield f"{schema}.{name}", _inflated(bytes.fromhex(packed.decode()))


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content
