"""What a result was computed from, as one digest: equal digests mean that computing again would change nothing."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import billing_pipeline

# The code whose rules decide what the tables say. A new release computes anew; comments in it do too, harmlessly.
_RULES = ("config.py", "periods.py", "money.py", "normalize", "r189", "reconciliation", "schemas", "steps")


@lru_cache(maxsize=1)
def rules_digest() -> str:
    """Digest of the source code that turns documents into tables."""
    package = Path(billing_pipeline.__file__).parent
    digest = hashlib.sha256()
    for name in _RULES:
        root = package / name
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def digest_of(*parts: Any) -> str:
    """Digest of JSON-like values; anything else by its text."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
