"""Who may read: Bearer keys, kept as digests only, and how often one may guess. Knows nothing of what is read."""

import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from billing_pipeline.api.answers import Refusal

# A key worth having is never guessed; the limit keeps a misconfigured client or a scanner from filling log and time.
FAILURES, WINDOW_S = 10, 60.0
MAX_ADDRESSES = 10_000  # about 3 MB


class FailedAttempts:
    """How often each address has failed in its window; the oldest of MAX_ADDRESSES is forgotten for a new one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Whole seconds until this address may try again; 0 when it may now."""
        since, count = self._failed.get(_network(address), (0.0, 0))
        if count < FAILURES:
            return 0
        return max(0, math.ceil(since + WINDOW_S - self._clock()))

    def note(self, address: str) -> None:
        network, now = _network(address), self._clock()
        since, count = self._failed.get(network, (now, 0))
        self._failed[network] = (now, 1) if now - since >= WINDOW_S else (since, count + 1)
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failed)


def _network(address: str) -> str:
    """An IPv6 address as its /64: who has one has all of them."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    # As a socket that serves both says it: all of IPv4 lies in one /64 there, and one stranger would lock out everybody.
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class Access:
    """The keys that open the API; without any, everybody on this machine may read."""

    def __init__(self, keys: Iterable[str], attempts: FailedAttempts | None = None) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._attempts = FailedAttempts() if attempts is None else attempts

    @property
    def asks(self) -> bool:
        return bool(self._digests)

    def check(self, authorizations: list[bytes], address: str) -> None:
        """Refusal (401, or 429 with Retry-After) unless exactly one `Authorization: Bearer <key>` with a key of ours."""
        if not self._digests:
            return
        wait_s = self._attempts.wait_s(address)
        if wait_s:
            message = f"too many requests without a valid key from this address; try again in {wait_s} s"
            raise Refusal(429, "too_many_failures", message, headers={"Retry-After": str(wait_s)})
        if not (len(authorizations) == 1 and self._is_known(authorizations[0])):
            self._attempts.note(address)
            message = "send one of the API keys as 'Authorization: Bearer <key>'"
            raise Refusal(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})

    def _is_known(self, authorization: bytes) -> bool:
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        # Every key is compared, and digests of one length: how long it takes tells nothing about any of them.
        digest = _digest(given.strip())
        return sum([hmac.compare_digest(digest, one) for one in self._digests]) > 0


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
