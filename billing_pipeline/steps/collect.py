"""Step 1: fetch one operator's month into raw/ and write down what came. Replaces nothing that is stored."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from billing_pipeline.config import Operator, OrangeSource
from billing_pipeline.errors import SourceError, StorageError
from billing_pipeline.normalize.claims import parse_claims, read_claim_files
from billing_pipeline.normalize.inventory import InventoryFile, parse_inventory, read_files
from billing_pipeline.periods import PARIS, Period
from billing_pipeline.r189.naming import period_in_name
from billing_pipeline.sources.authorization import Credentials
from billing_pipeline.sources.collection import (
    BESIDE_ROLES,
    CLAIM_ROLES,
    INVENTORY_ROLES,
    Collection,
    Kept,
    Received,
    Role,
    Source,
)
from billing_pipeline.sources.netwo import Netwo
from billing_pipeline.sources.orange_b2b import OrangeB2B
from billing_pipeline.sources.orange_offer import FileNaming
from billing_pipeline.sources.r189_files import R189Files
from billing_pipeline.steps.file_periods import period_by_rows, period_of_file, stem_order
from billing_pipeline.steps.workspace import Workspace, required_secret
from billing_pipeline.storage.raw import Manifest
from billing_pipeline.storage.raw_batch import RawBatch, raw_batch

COLLECTED, COMPLETE, INCOMPLETE = "collected", "complete", "incomplete"
KEY_WARNING_DAYS = 60


class CollectionSession:
    """The sources of one command, each opened when first asked for: one listing and one token for all its periods."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def source(self, operator: Operator) -> Source:
        if operator.code not in self._sources:
            self._sources[operator.code] = open_source(operator)
        return self._sources[operator.code]

    def use(self, operator_code: str, source: Source) -> None:
        """Ask this one for the operator, instead of the one its configuration describes."""
        self._sources[operator_code] = source

    def close(self) -> None:
        while self._sources:
            self._sources.popitem()[1].close()


_session: ContextVar[CollectionSession | None] = ContextVar("collection_session", default=None)


@contextmanager
def collection_session() -> Iterator[CollectionSession]:
    """Within the block every collection of this thread shares its sources; a nested block joins the outer one."""
    current = _session.get()
    if current is not None:
        yield current
        return
    session = CollectionSession()
    token = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(token)
        session.close()


def collect(workspace: Workspace, operator: Operator, period: Period, *, run_id: str, from_raw: bool) -> Manifest:
    """Everything the operator offers for the period, kept, and a manifest that lists it.

    `from_raw` asks nobody: the manifest repeats the documents that count, those of the last complete collection or,
    while there is none, of the latest. SourceError when the source cannot be asked.
    """
    inventory = _keep_inventory(workspace, operator, period)
    content = _kept_before(workspace, operator, period) if from_raw else _fetched(workspace, operator, period)
    content["inventory"] = [asdict(document) for document in inventory]
    return workspace.raw.write_manifest(
        operator.code, str(period), {"run_id": run_id, "state": COLLECTED, "detail": None, **content}
    )


def counting_manifest(workspace: Workspace, operator_code: str, period: str) -> Manifest | None:
    """The collection whose documents count: the last complete one, the latest while there is none."""
    raw = workspace.raw
    return raw.last_complete(operator_code, period) or raw.latest(operator_code, period)


def documents_of(manifest: Manifest, kind: Literal["documents", "inventory"] = "documents") -> list[Kept]:
    """The operator's documents of a collection, or the inventory files it is reconciled with."""
    return [Kept(**{**one, "role": Role(one["role"])}) for one in manifest.content[kind]]


def _keep_inventory(workspace: Workspace, operator: Operator, period: Period) -> list[Kept]:
    """The reseller's own files, checked before anything is asked of the operator. InventoryError when one is invalid."""
    config = workspace.config
    codes = [one.code for one in config.operators]
    files, claims = read_files(config.services, period), read_claim_files(config.services)
    parse_inventory(files, codes)
    parse_claims(claims, codes)
    given = (files.services, files.prices, files.charges, claims.payments, claims.disputes)
    roles = zip((*INVENTORY_ROLES, *CLAIM_ROLES), given, strict=True)
    with raw_batch(workspace.raw, operator.code, str(period)) as batch:
        return [keep(batch, own_file(role, file)) for role, file in roles if file is not None]


def own_file(role: Role, file: InventoryFile) -> Received:
    """One of the reseller's files as a document to keep."""
    return Received(
        role=role,
        name=file.path.name,
        location=str(file.path),
        media_type="text/csv",
        extension="csv",
        content=file.content,
    )


def _kept_before(workspace: Workspace, operator: Operator, period: Period) -> dict[str, Any]:
    manifest = counting_manifest(workspace, operator.code, str(period))
    if manifest is None:
        raise SourceError(
            f"{operator.code} {period}: nothing was ever collected into {workspace.raw.root}; run without --from-raw"
        )
    repeated = {name: manifest.content[name] for name in ("source_type", "documents", "gaps", "declared", "collected")}
    return {**repeated, "notes": manifest.content.get("notes", []), "from_raw": True}


def _fetched(workspace: Workspace, operator: Operator, period: Period) -> dict[str, Any]:
    with collection_session() as session, raw_batch(workspace.raw, operator.code, str(period)) as batch:
        collection = session.source(operator).collect(period, partial(keep, batch))
    gaps = [*collection.gaps, *_no_longer_offered(workspace, operator, period, collection)]
    standing = _still_standing(workspace, operator, period, collection)
    documents = sorted((*collection.documents, *standing), key=lambda one: one.sha256)
    stands = [f"{one.name} did not come; the one of {one.fetched_at[:10]} stands" for one in standing]
    return {
        "source_type": operator.source.type,
        "documents": [asdict(document) for document in documents],
        "gaps": gaps,
        "declared": collection.declared,
        "collected": collection.collected,
        "notes": [*collection.notes, *stands, *source_warnings(operator)],
    }


def source_warnings(operator: Operator, today: dt.date | None = None) -> list[str]:
    """What will go wrong soon: an API key within 60 days of its end (renewing one takes the operator's support)."""
    source = operator.source
    if source.type != "orange_b2b" or source.api_key_expires_on is None:
        return []
    day = today or dt.datetime.now(PARIS).date()
    left = (source.api_key_expires_on - day).days
    if left > KEY_WARNING_DAYS:
        return []
    when = f"expires in {left} days, on" if left >= 0 else "expired on"
    return [
        f"{operator.code}: the API key in {source.api_key_env} {when} {source.api_key_expires_on}; "
        "ask the operator for a new one and set source.api_key_expires_on"
    ]


def open_source(operator: Operator) -> Source:
    """The connector for an operator's source. ConfigurationError names a secret that is not set."""
    source = operator.source
    if source.type == "netwo":
        key = required_secret(source.api_key_env, operator.code)
        return Netwo(source, operator_code=operator.code, key=key)
    if source.type == "orange_b2b":
        return OrangeB2B(source, credentials=_orange_credentials(source, operator.code), naming=_naming(operator))
    period_of: Callable[[Path], Period] = partial(period_of_file, profile=operator.profile)
    return R189Files(source, period_of=period_of, stem_order=stem_order)


def _orange_credentials(source: OrangeSource, owner: str) -> Credentials:
    return Credentials(
        client_id=required_secret(source.client_id_env, owner),
        client_secret=required_secret(source.client_secret_env, owner),
        api_key=required_secret(source.api_key_env, owner),
        client_id_env=source.client_id_env,
        client_secret_env=source.client_secret_env,
        api_key_env=source.api_key_env,
    )


def _naming(operator: Operator) -> FileNaming:
    by_rows = partial(period_by_rows, profile=operator.profile)
    return FileNaming(period_in_name=period_in_name, period_by_rows=by_rows, stem_order=stem_order)


def keep(batch: RawBatch, received: Received) -> Kept:
    """Store the bytes and their sidecar, durable when the batch ends; the first sighting of the same bytes keeps its time and place."""
    sidecar = {
        "role": received.role.value,
        "original_name": received.name,
        "location": received.location,
        "media_type": received.media_type,
        "request": received.request,
        "response_headers": received.response_headers,
        "created_at": received.created_at,
        "declared_count": received.declared_count,
        "declared_ids": list(received.declared_ids),
    }
    stored = batch.put(received.content, extension=received.extension, sidecar=sidecar)
    return Kept(
        role=received.role,
        sha256=stored.sha256,
        extension=received.extension,
        name=received.name,
        location=received.location,
        media_type=received.media_type,
        bytes=stored.bytes,
        fetched_at=stored.first_seen.isoformat(),
        created_at=received.created_at,
        declared_count=received.declared_count,
        declared_ids=list(received.declared_ids),
    )


_BILLED_BY = {Role.R189_CHARGES: "file", Role.NETWO_INVOICE: "invoice", Role.ORANGE_BILL: "bill"}


def _no_longer_offered(workspace: Workspace, operator: Operator, period: Period, collection: Collection) -> list[str]:
    """A source that stops offering what it once had is not believed: files do not become unbilled."""
    remedy = "put it back, or use --from-raw for what was kept"
    before = workspace.raw.last_complete(operator.code, str(period))
    if before is None:
        latest = workspace.raw.latest(operator.code, str(period))
        had_some = latest is not None and any(one.role in _BILLED_BY for one in documents_of(latest))
        has_none = not any(document.role in _BILLED_BY for document in collection.documents)
        return (
            [f"the source answers with nothing for a period that has lines; {remedy}"] if had_some and has_none else []
        )
    offered = {document.sha256 for document in collection.documents}
    names = {document.name for document in collection.documents}
    return [
        f"{_BILLED_BY[document.role]} {document.name} of the last complete collection is no longer offered; {remedy}"
        for document in documents_of(before)
        if document.role in _BILLED_BY and document.sha256 not in offered and document.name not in names
    ]


def _still_standing(workspace: Workspace, operator: Operator, period: Period, collection: Collection) -> list[Kept]:
    """Vouchers and opinions of the last complete collection that did not come this time: one refusal takes none away."""
    before = workspace.raw.last_complete(operator.code, str(period))
    if before is None:
        return []
    came = {(document.role, document.name) for document in collection.documents}
    hashes = {document.sha256 for document in collection.documents}
    return [
        one
        for one in documents_of(before)
        if one.role in BESIDE_ROLES and (one.role, one.name) not in came and one.sha256 not in hashes
    ]


def manifest_to_load(workspace: Workspace, operator_code: str, period: Period, run_id: str) -> Manifest:
    """What this run collected, else the latest collection; StorageError when there is none."""
    manifests = workspace.raw.manifests(operator_code, str(period))
    if not manifests:
        raise StorageError(f"{operator_code} {period}: nothing has been collected; start with source_documents")
    return next((one for one in reversed(manifests) if one.run_id == run_id), manifests[-1])
