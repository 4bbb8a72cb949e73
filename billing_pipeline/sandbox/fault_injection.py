"""Where requests meet faults: an ASGI middleware that lets each rule happen to the requests it is for.

Seeded: the same rules, seed and order of requests give the same answers. What a fault does stands in fault_effects.py,
fault_rewrites.py and fault_paging.py.
"""

import random
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from billing_pipeline.sandbox import fault_effects as effects
from billing_pipeline.sandbox import fault_paging as paging
from billing_pipeline.sandbox import fault_rewrites as rewrites
from billing_pipeline.sandbox.fault_effects import Effect, Occasion
from billing_pipeline.sandbox.faults import FaultRule, Target

PAGING = ("item_inserted_while_paging", "item_deleted_while_paging")
_ORANGE, _DATA = "/billing/b2b/v1/", ("/v1/billing/", "/billing/b2b/v1/", "/v2/billing/")
_WHOLE = (
    effects.rate_limit_seconds, effects.rate_limit_date, effects.server_error_burst, effects.reset, effects.answer_lost,
    effects.answer_withheld, effects.error_after_effect,
    effects.truncated_body, effects.truncated_without_length, effects.gzip_cut, effects.drip, effects.silence,
    effects.malformed_json, effects.html_with_200, effects.wrong_content_type, effects.redirect, effects.token_expires,
    effects.token_revoked, effects.oversized_report, paging.total_promises_more,
)  # fmt: skip
_CHANGES = (
    rewrites.repeated_ids, rewrites.line_count_disagrees, rewrites.numbers_as_strings, rewrites.nulls,
    rewrites.unknown_fields, rewrites.missing_required_field, rewrites.enums_as_numbers, rewrites.hostile_ids,
)  # fmt: skip
EFFECTS: dict[str, Effect] = {
    **{effect.__name__: effect for effect in _WHOLE},
    **{change.__name__: rewrites.rewriting(change) for change in _CHANGES},
}


class FaultInjector:
    """Applies `rules` in their order, the first outermost. `app.state.faults` lists (fault, path) as they happen."""

    def __init__(self, app: ASGIApp, rules: Sequence[FaultRule] = (), seed: int = 0) -> None:
        self._app = app
        self._seed = seed
        self._rules = [(rule, _Progress(rule)) for rule in rules]
        self._hostile: dict[Any, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and self._rules:
            app = rewrites.under_hostile_id(app, self._hostile)
            for rule, progress in reversed(self._rules):
                app = self._around(app, rule, progress, scope)
        await app(scope, receive, send)

    def _around(self, app: ASGIApp, rule: FaultRule, progress: "_Progress", scope: Scope) -> ASGIApp:
        """`app` with the rule's fault around it, where the rule is for this request and its turn has come."""
        path: str = scope["path"]
        happened: list[tuple[str, str]] = scope["app"].state.faults
        if not (_is_for(rule.fault.target, scope) and rule.matches(path)):
            return app
        if progress.paging is not None:
            return _paged(app, progress.paging, happened)
        progress.requests += 1
        if not rule.happens(progress.requests):
            return app
        happened.append((rule.fault.name, path))
        rng = random.Random(f"{self._seed}/{rule.fault.name}/{rule.path}/{progress.requests}")
        memory = self._hostile if rule.fault.name == "hostile_ids" else {}
        occasion, effect = Occasion(progress.requests, rng, memory), EFFECTS[rule.fault.name]

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            await effect(app, occasion, scope, receive, send)

        return faulty


class _Progress:
    """How far one rule has come: the requests it was for, or the state of its list."""

    def __init__(self, rule: FaultRule) -> None:
        self.requests = 0
        self.paging = paging.PagingFault(rule) if rule.fault.name in PAGING else None


def _paged(app: ASGIApp, fault: paging.PagingFault, happened: list[tuple[str, str]]) -> ASGIApp:
    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        before = fault.happened
        await fault(app, scope, receive, send)
        if fault.happened > before:
            happened.append((fault.name, scope["path"]))

    return faulty


def _is_for(target: Target, scope: Scope) -> bool:
    path: str = scope["path"]
    if target == "any":
        return True
    if target == "list":
        return path in rewrites.LISTS and scope["method"] == "GET"
    if target == "hub_list":
        return path == rewrites.HUB_LIST
    if target == "orange":
        return path.startswith(_ORANGE)
    if target == "invoicing":
        return path.startswith("/v2/billing/")
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    if target == "report":
        return path.startswith(f"{_ORANGE}reports/") and b"text/csv" in accept
    wants_file = b"text/csv" in accept or b"application/pdf" in accept or path.endswith("/download")
    return path.startswith(_DATA) and not wants_file
