"""Step 1: fetch one operator's month into raw/ and write down what came. Replaces nothing that is stored."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from billing_pipeline.config import Operator
from billing_pipeline.errors import ConfigurationError, SourceError, StorageError
from billing_pipeline.normalize.inventory import parse_inventory, read_files
from billing_pipeline.periods import Period
from billing_pipeline.sources.collection import INVENTORY_ROLES, Collection, Kept, Received, Role, Source
from billing_pipeline.sources.netwo import Netwo
from billing_pipeline.sources.r189_files import R189Files
from billing_pipeline.steps.file_periods import period_of_file, stem_order
from billing_pipeline.steps.workspace import Workspace, required_secret
from billing_pipeline.storage.raw import Manifest

COLLECTED, COMPLETE, INCOMPLETE = "collected", "complete", "incomplete"


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
    """The inventory files, checked before anything is asked of the operator. InventoryError when one is invalid."""
    config = workspace.config
    files = read_files(config.services, period)
    parse_inventory(files, [one.code for one in config.operators])
    roles = zip(INVENTORY_ROLES, (files.services, files.prices, files.charges), strict=True)
    return [
        keep(
            workspace,
            operator.code,
            period,
            Received(
                role=role,
                name=file.path.name,
                location=str(file.path),
                media_type="text/csv",
                extension="csv",
                content=file.content,
            ),
        )
        for role, file in roles
        if file is not None
    ]


def _kept_before(workspace: Workspace, operator: Operator, period: Period) -> dict[str, Any]:
    manifest = counting_manifest(workspace, operator.code, str(period))
    if manifest is None:
        raise SourceError(
            f"{operator.code} {period}: nothing was ever collected into {workspace.raw.root}; run without --from-raw"
        )
    repeated = {name: manifest.content[name] for name in ("source_type", "documents", "gaps", "declared", "collected")}
    return {**repeated, "from_raw": True}


def _fetched(workspace: Workspace, operator: Operator, period: Period) -> dict[str, Any]:
    source = open_source(operator)
    collection = source.collect(period, partial(keep, workspace, operator.code, period))
    gaps = [*collection.gaps, *_no_longer_offered(workspace, operator, period, collection)]
    return {
        "source_type": operator.source.type,
        "documents": [asdict(document) for document in sorted(collection.documents, key=lambda one: one.sha256)],
        "gaps": gaps,
        "declared": collection.declared,
        "collected": collection.collected,
    }


def open_source(operator: Operator) -> Source:
    """The connector for an operator's source. ConfigurationError names a secret that is not set."""
    source = operator.source
    if source.type == "netwo":
        key = required_secret(source.api_key_env, operator.code)
        return Netwo(source, operator_code=operator.code, key=key)
    if source.type == "r189_files":
        period_of: Callable[[Path], Period] = partial(period_of_file, profile=operator.profile)
        return R189Files(source, period_of=period_of, stem_order=stem_order)
    raise ConfigurationError(f"operator {operator.code}: sources of type {source.type} cannot be collected yet")


def keep(workspace: Workspace, operator_code: str, period: Period, received: Received) -> Kept:
    """Store the bytes and their sidecar; the first sighting of the same bytes keeps its time and place."""
    sidecar = {
        "role": received.role.value,
        "original_name": received.name,
        "location": received.location,
        "media_type": received.media_type,
        "request": received.request,
        "response_headers": received.response_headers,
        "created_at": received.created_at,
        "declared_count": received.declared_count,
    }
    stored = workspace.raw.put(
        operator_code, str(period), received.content, extension=received.extension, sidecar=sidecar
    )
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
    )


def _no_longer_offered(workspace: Workspace, operator: Operator, period: Period, collection: Collection) -> list[str]:
    """A source that stops offering what it once had is not believed: files do not become unbilled."""
    before = workspace.raw.last_complete(operator.code, str(period))
    if before is None:
        return []
    offered = {document.sha256 for document in collection.documents}
    names = {document.name for document in collection.documents}
    what = {Role.R189_CHARGES: "file", Role.NETWO_INVOICE: "invoice"}
    return [
        f"{what[document.role]} {document.name} of the last complete collection is no longer offered; "
        "put it back, or use --from-raw for what was kept"
        for document in documents_of(before)
        if document.role in what and document.sha256 not in offered and document.name not in names
    ]


def manifest_to_load(workspace: Workspace, operator_code: str, period: Period, run_id: str) -> Manifest:
    """What this run collected, else the latest collection; StorageError when there is none."""
    manifests = workspace.raw.manifests(operator_code, str(period))
    if not manifests:
        raise StorageError(f"{operator_code} {period}: nothing has been collected; start with source_documents")
    return next((one for one in reversed(manifests) if one.run_id == run_id), manifests[-1])
