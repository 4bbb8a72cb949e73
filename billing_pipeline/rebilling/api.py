"""The customer invoicing API: one method per call, and whether it may be repeated. When to call is sequence.py's."""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from billing_pipeline.config import Rebilling
from billing_pipeline.errors import SourceError, one_line
from billing_pipeline.rebilling.documents import Document, document_in, identifier_in
from billing_pipeline.sources.authorization import BearerKey
from billing_pipeline.sources.collection import path_segment
from billing_pipeline.sources.http import HttpClient
from billing_pipeline.sources.http_answer import OutcomeUnknown

_BASE = "/v2/billing"
_PATHS = {
    "lines": ("PATCH", "/{}/lines"),
    "informations": ("PATCH", "/invoice/{}/general-informations"),
    "timeline": ("PATCH", "/invoice/{}/timeline"),
    "currency": ("PUT", "/invoice/{}/currency"),
}
_PDF_BYTES = 64 * 1024 * 1024


class CustomerInvoicing:
    """Calls of one API key. Close it after use.

    Every method raises SourceRefused when the API says no; `create`, `credit` and `finalize` raise OutcomeUnknown when
    they cannot tell whether it was done, since asked twice they might be done twice.
    """

    def __init__(self, settings: Rebilling, key: str) -> None:
        self._client = HttpClient(
            settings.base_url, authorization=BearerKey(key, settings.api_key_env), settings=settings.http
        )

    def close(self) -> None:
        self._client.close()

    def create(self, invoicing_customer_id: str) -> tuple[str, str | None]:
        """A draft without lines: its id, and its currency where the answer says."""
        return self._made(f"{_BASE}/invoice/{_segment(invoicing_customer_id)}")

    def credit(self, invoicing_id: str) -> tuple[str, str | None]:
        """A draft credit note with the lines of a finalized invoice: as `create`."""
        return self._made(f"{_BASE}/invoice/{_segment(invoicing_id)}/asset")

    def _made(self, path: str) -> tuple[str, str | None]:
        answer, content = self._client.change("POST", path, repeatable=False)
        identifier = identifier_in(content)
        if identifier is None or path_segment(identifier) is None:
            raise OutcomeUnknown(f"POST {answer.url}: the answer does not tell the id of what it made")
        currency = content.get("currencyCode")
        return identifier, currency if isinstance(currency, str) and currency.isprintable() else None

    def put(self, step: str, invoicing_id: str, body: Mapping[str, Any]) -> None:
        """One of _PATHS; what was there is replaced, so that it may be repeated."""
        method, path = _PATHS[step]
        self._client.change(method, _BASE + path.format(_segment(invoicing_id)), body, repeatable=True)

    def finalize(self, invoicing_id: str) -> None:
        self._client.change("PATCH", f"{_BASE}/{_segment(invoicing_id)}/finalize", repeatable=False)

    def delete(self, invoicing_id: str) -> None:
        """NotFound when it is gone already, as after an answer that was lost."""
        self._client.change("DELETE", f"{_BASE}/{_segment(invoicing_id)}", repeatable=True)

    def read(self, invoicing_id: str) -> Document:
        """NotFound where there is none of this id."""
        answer, content = self._client.get_json(f"{_BASE}/{_segment(invoicing_id)}")
        document = document_in(content, f"GET {answer.url}")
        if document.identifier != invoicing_id:
            raise SourceError(f"GET {answer.url}: the answer is another document")
        return document

    def download(self, invoicing_id: str, locale: str, target: Path) -> str:
        """The PDF into `target`, on disk when this returns; its SHA-256 in hex."""
        path = f"{_BASE}/{_segment(invoicing_id)}/download?locale={locale}"
        answer = self._client.download(
            path, accept="application/pdf", target=target, types=("application/pdf",), limit=_PDF_BYTES
        )
        content = target.read_bytes()
        if not content.startswith(b"%PDF-") or b"%%EOF" not in content[-1024:]:
            raise SourceError(f"GET {answer.url}: the answer is no whole PDF; run again")
        with target.open("rb") as file:
            os.fsync(file.fileno())
        return sha256(content).hexdigest()


def _segment(identifier: str) -> str:
    """An id as one segment of a URL's path."""
    segment = path_segment(identifier)
    if segment is None:
        raise SourceError(f"{one_line(identifier)!r} is no id that can be asked for; look at the document by hand")
    return segment
