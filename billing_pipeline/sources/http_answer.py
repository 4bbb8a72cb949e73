"""One answer of an operator's API as the sources see it, what its words say, and the ways a request can fail.

Knows JSON and header texts, and nothing of connections.
"""

import datetime as dt
import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from billing_pipeline.errors import SourceError, SourceRefused

JSON_TYPES = ("application/json", "text/json")
_LONGEST_RETRY_AFTER_S = 120.0
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the status asked for. `url` holds no secret: keys travel in headers only.

    `body` is empty and `path` set where the body went to a file; `length` is that of the decoded body either way.
    `framed`: the transport says where the body ends, so that it cannot have been cut short unnoticed.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    length: int
    framed: bool
    body: bytes = b""
    path: Path | None = None

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @property
    def request(self) -> dict[str, Any]:
        """The request as a sidecar records it."""
        return {"method": self.method, "url": self.url}


class Refused(SourceRefused):
    """The operator answered and said no, with `status`."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotFound(Refused):
    """The operator answered 404: what was asked for does not exist there."""


class WrongDocument(SourceError):
    """The operator answered with something else than what was asked for."""


class OutcomeUnknown(SourceError):
    """A request that must not be repeated blindly got no usable answer: it was carried out, or it was not."""


class Retriable(Exception):
    """A fault that another attempt may cure. `wait_s` is what the server asked for, if anything.

    `undone`: it is certain that the request had no effect. Without it, it may have been carried out.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, undone: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.undone = undone


class Unauthorized(Exception):
    """A 401; `code` is the operator's own code for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parsed(answer: Answer) -> tuple[Answer, Any]:
    if answer.media_type not in JSON_TYPES:
        raise Retriable(f"HTTP 200 with content type {answer.media_type or 'none'} instead of JSON")
    try:
        return answer, json.loads(answer.body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Retriable("HTTP 200 with a body that is not complete JSON") from None


def parsed_names(answer: Answer) -> tuple[Answer, Any]:
    """The same for a caller that reads only ids and other texts: five times as fast, its amounts are not to be used.

    What this parser refuses and the exact one does not (a byte order mark, half a surrogate pair) is left to that one.
    """
    if answer.media_type not in JSON_TYPES:
        return parsed(answer)
    try:
        return answer, from_json(answer.body, allow_inf_nan=False)
    except ValueError:
        return parsed(answer)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def code_in(refusal: bytes) -> str:
    """The operator's own code in a refusal's JSON; '' where it states none that can be repeated."""
    try:
        document = json.loads(refusal)
    except (ValueError, RecursionError):
        return ""
    code = document.get("code", document.get("error")) if isinstance(document, dict) else None
    text = str(code) if isinstance(code, str | int) and not isinstance(code, bool) else ""
    return text if _CODE.fullmatch(text) else ""


def asked_wait_s(retry_after: str) -> float | None:
    """Seconds a server asks us to wait: `Retry-After` holds a number or an HTTP date."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    seconds: float = (at - dt.datetime.now(dt.UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)
