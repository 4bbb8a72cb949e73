"""The access tokens of the Orange API: who gets one, how long it lives, how many a minute. The clock is the caller's."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

WINDOW_S = 60.0
DEFAULT_LIFETIME_S = 3600.0
DEFAULT_PER_MINUTE = 50


class Tokens:
    """Every token issued, and whether it still opens anything. `issued` lists them, oldest first."""

    def __init__(
        self,
        *,
        lifetime_s: float = DEFAULT_LIFETIME_S,
        per_minute: int = DEFAULT_PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if lifetime_s <= 0 or per_minute < 1:
            raise ValueError("a token lives longer than 0 s and at least one is issued a minute")
        self.lifetime_s = lifetime_s
        self.per_minute = per_minute
        self.issued: list[str] = []
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._revoked: set[str] = set()
        self._asked: deque[float] = deque()

    def wait_s(self) -> float:
        """Counts one request for a token; 0 where it may go on, else the seconds until one will be answered."""
        now = self._clock()
        while self._asked and self._asked[0] <= now - WINDOW_S:
            self._asked.popleft()
        if len(self._asked) >= self.per_minute:
            return self._asked[0] + WINDOW_S - now
        self._asked.append(now)
        return 0.0

    def issue(self) -> str:
        token = secrets.token_urlsafe(24)
        self.issued.append(token)
        self._ends[token] = self._clock() + self.lifetime_s
        return token

    def state(self, token: str) -> Literal["valid", "expired", "unknown"]:
        if token in self._revoked or token not in self._ends:
            return "unknown"
        return "valid" if self._clock() < self._ends[token] else "expired"

    def expire(self, token: str) -> None:
        """Ends the token's life now; one that was never issued stays unknown."""
        if token in self._ends:
            self._ends[token] = self._clock()

    def revoke(self, token: str) -> None:
        self._revoked.add(token)
