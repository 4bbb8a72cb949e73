"""What the tests of sources share: a place to keep documents, sources with short timeouts, the sandbox on a socket."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from starlette.applications import Starlette

from billing_pipeline.config import HttpSettings, NetwoSource, OrangeSource, Profile
from billing_pipeline.r189.naming import period_in_name
from billing_pipeline.sandbox.access import DEMO_SECRETS
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sources.authorization import Credentials
from billing_pipeline.sources.collection import Kept, Received
from billing_pipeline.sources.netwo import Netwo
from billing_pipeline.sources.orange_b2b import OrangeB2B
from billing_pipeline.sources.orange_offer import FileNaming
from billing_pipeline.steps.file_periods import period_by_rows, stem_order

CANARIES = {
    "ORANGE_CLIENT_ID": "canary-id-77a1",
    "ORANGE_CLIENT_SECRET": "canary-secret-93fe",
    "ORANGE_API_KEY": "canary-key-20bd",
    "NETWO_API_KEY": "canary-hub-5f1c",
    "CUSTOMER_INVOICING_API_KEY": "canary-invoicing-01aa",
}
QUICK = HttpSettings(connect_timeout_s=2, read_timeout_s=0.8, deadline_s=6, attempts=4, concurrency=4)


class Shelf:
    """Keeps what a source hands over, in memory."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.bodies: dict[str, bytes] = {}

    def keep(self, received: Received) -> Kept:
        content = received.content.read_bytes() if isinstance(received.content, Path) else received.content
        sha256 = hashlib.sha256(content).hexdigest()
        self.received.append(received)
        self.bodies[sha256] = content
        return Kept(
            received.role, sha256, received.extension, received.name, received.location, received.media_type,
            len(content), "2024-04-06T00:00:00+00:00", received.created_at, received.declared_count,
            received.declared_ids,
        )  # fmt: skip


def orange(
    base_url: str, *, drop_folder: Path | None = None, settings: HttpSettings = QUICK, **secrets: str
) -> OrangeB2B:
    """The account of the sandbox below `base_url`, or of a server that answers under the same paths."""
    source = OrangeSource(
        type="orange_b2b", base_url=f"{base_url}/billing/b2b/v1", token_url=f"{base_url}/oauth/v3/token",
        client_id_env="ORANGE_CLIENT_ID", client_secret_env="ORANGE_CLIENT_SECRET", api_key_env="ORANGE_API_KEY",
        drop_folder=drop_folder, http=settings,
    )  # fmt: skip
    return OrangeB2B(source, credentials=credentials(**secrets), naming=NAMING)


def credentials(**secrets: str) -> Credentials:
    given = {**CANARIES, **secrets}
    return Credentials(
        given["ORANGE_CLIENT_ID"], given["ORANGE_CLIENT_SECRET"], given["ORANGE_API_KEY"],
        "ORANGE_CLIENT_ID", "ORANGE_CLIENT_SECRET", "ORANGE_API_KEY",
    )  # fmt: skip


NAMING = FileNaming(
    period_in_name=period_in_name, period_by_rows=partial(period_by_rows, profile=Profile()), stem_order=stem_order
)


def netwo(base_url: str, *, settings: HttpSettings = QUICK, key: str = CANARIES["NETWO_API_KEY"]) -> Netwo:
    source = NetwoSource(type="netwo", base_url=base_url, api_key_env="NETWO_API_KEY", http=settings)
    return Netwo(source, operator_code="SFR", key=key)


@cache
def reseller() -> Reseller:
    return generate_reseller(operators=["ORANGE", "SFR"], scale=40)


@contextmanager
def sandbox(faults: Sequence[str] = (), **options: object) -> Iterator[tuple[str, Starlette]]:
    """(base URL, application) of the sandbox, which asks for the canaries."""
    secrets = {**DEMO_SECRETS, **CANARIES}
    app = create_app(reseller(), api_key=CANARIES["NETWO_API_KEY"], secrets=secrets, faults=faults, **options)  # type: ignore[arg-type]
    with SandboxServer(app) as server:
        yield server.base_url, app
