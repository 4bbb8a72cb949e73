"""The analysts' views, made by dbt: when they must be made, with which project, in which environment, what came out.

They are views over all partitions, so they are made once per project and not per run. What they say stands in
dbt_project/; the schema around them is storage/marts.py's; as Dagster assets they are defs/marts.py's.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import billing_pipeline
from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import MartsError
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage import marts as schema
from billing_pipeline.storage.marts import OperatorTerms

# What the project is made of; the wheel holds just these (pyproject.toml), without what dbt leaves beside them.
PROJECT_PARTS = ("dbt_project.yml", "profiles.yml", "models", "macros", "tests")
TIMEOUT_SECONDS = 900
MANIFEST = "manifest.json"
PARSED = "partial_parse.msgpack"
# The operators' secrets are in our environment, and no business of dbt's.
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH")
_PASSWORD = "DBT_ENV_SECRET_BILLING_MARTS_PASSWORD"
_NOWHERE = {"host": "localhost", "port": "5432", "user": "nobody", "password": "", "dbname": "nowhere"}
_SUCCEEDED = frozenset({"success", "pass", "warn"})


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one model or data test: dbt's `status`, its `message`, the rows that fail a test."""

    unique_id: str
    status: str
    message: str | None
    failures: int | None

    @property
    def name(self) -> str:
        return self.unique_id.split(".")[2]

    @property
    def is_model(self) -> bool:
        return self.unique_id.startswith("model.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One dbt command: a result per node it reached and, where a model was not made, in one line why."""

    results: tuple[NodeResult, ...]
    failure: str | None


def project_folder() -> Path:
    """Where the dbt project lies: inside an installed package, else beside it in a checkout."""
    package = Path(billing_pipeline.__file__).parent
    for folder in (package / "_dbt_project", package.parent / "dbt_project"):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise MartsError(f"{package}: the dbt project of the marts is missing; install billing_pipeline again")


def project_digest(folder: Path) -> str:
    """Digest of the project's files and of the dbt that reads them: equal digests make equal views."""
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-postgres')}".encode())
    for path in _project_files(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def model_names(folder: Path) -> frozenset[str]:
    """Every view the project makes; a model's name is its file's."""
    return frozenset(path.stem for path in (folder / "models").rglob("*.sql"))


def needed(workspace: Workspace) -> bool:
    """Bring the contract terms up to date, and say whether views are absent or of another project."""
    url = workspace.databases.billing
    schema.prepare(url, _terms(workspace.config))
    folder = project_folder()
    return not schema.is_current(url, project_digest(folder), model_names(folder))


def make(
    workspace: Workspace, *, models: Sequence[str] | None = None, tests: Sequence[str] | None = (), build: bool = True
) -> Outcome:
    """Make the views (all, or these `models`; not at all without `build`) and run these data tests (None: all).

    One dbt at a time per database. MartsError when dbt could not do its work at all; what fails on the way, a data
    test too, is in the outcome.
    """
    url, config = workspace.databases.billing, workspace.config
    schema.prepare(url, _terms(config))
    folder = project_folder()
    digest = project_digest(folder)
    with schema.one_at_a_time(url):
        settings = schema.connection_settings(url)
        analyst = "present" if schema.analyst_exists(url) else "absent"
        outcome = _run_dbt(
            config.storage.data_dir, folder, digest, _arguments(models, tests, build),
            {**_connection_environment(settings), "BILLING_MARTS_ANALYST": analyst},
        )  # fmt: skip
        if build and models is None and outcome.failure is None:
            schema.record(url, digest)
    return outcome


def ensure_made(workspace: Workspace) -> None:
    """The views as this release has them, made first where they are not. MartsError when that fails."""
    if needed(workspace):
        failure = make(workspace).failure
        if failure is not None:
            raise MartsError(f"marts: {failure}")


def make_docs(workspace: Workspace) -> Path:
    """dbt's documentation of the views, one self-contained page under data_dir/dbt/docs. MartsError when dbt fails."""
    url, data_dir = workspace.databases.billing, workspace.config.storage.data_dir
    folder = project_folder()
    target = _kept(data_dir, project_digest(folder)).with_name("docs.run")
    page = target.with_name("docs") / "index.html"
    environment = _connection_environment(schema.connection_settings(url))
    with _naming_the_folder(data_dir), _locked(data_dir):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        said, code = _call(folder, target, ["docs", "generate", "--static"], environment)
        if code != 0:
            raise MartsError(f"dbt docs: {_last_error(said, environment)}; see {target / 'dbt.log'}")
        page.parent.mkdir(exist_ok=True)
        (target / "static_index.html").replace(page)
        shutil.rmtree(target, ignore_errors=True)
    return page


def manifest_path(data_dir: Path) -> Path:
    """dbt's manifest of the project, parsed once per project and kept under data_dir/dbt; contacts no database."""
    folder = project_folder()
    kept = _kept(data_dir, project_digest(folder))
    if not (kept / MANIFEST).is_file():
        with _naming_the_folder(data_dir), _locked(data_dir):
            if not (kept / MANIFEST).is_file():
                _parse(folder, kept)
    return kept / MANIFEST


def _project_files(folder: Path) -> list[Path]:
    roots = [folder / part for part in PROJECT_PARTS]
    found = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return sorted(path for path in found if path.is_file() and path.suffix in {".sql", ".yml"})


def _terms(config: BillingConfig) -> list[OperatorTerms]:
    return [OperatorTerms(one.code, one.name, one.reconciliation.claim_months) for one in config.operators]


def _arguments(models: Sequence[str] | None, tests: Sequence[str] | None, build: bool) -> list[str]:
    """dbt's command for a choice of models and data tests. Its unit tests belong to the test suite."""
    if build and tests is not None and not tests:
        return ["run", *(["--select", *models] if models is not None else [])]
    command = ["build", "--exclude-resource-type", "unit_test"] if build else ["test", "--exclude", "test_type:unit"]
    if models is None and tests is None:
        return command
    return [*command, "--indirect-selection", "empty", "--select", *(models or ()), *(tests or ())]


def _connection_environment(settings: Mapping[str, str]) -> dict[str, str]:
    names = {name: f"BILLING_MARTS_{name.upper()}" for name in settings}
    names["password"] = _PASSWORD
    return {names[name]: value for name, value in settings.items()}


def _run_dbt(
    data_dir: Path, folder: Path, digest: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Outcome:
    """In a folder of its own that is removed again when all went well, and else keeps dbt.log."""
    kept = _kept(data_dir, digest)
    target = kept.with_name("run")
    with _naming_the_folder(data_dir), _locked(data_dir):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        if (kept / PARSED).is_file():
            shutil.copy(kept / PARSED, target / PARSED)
        said, code = _call(folder, target, arguments, environment)
        results = _results(target / "run_results.json")
        if code not in (0, 1) or (code and not results):
            raise MartsError(f"dbt {arguments[0]}: {_last_error(said, environment)}; see {target / 'dbt.log'}")
        failure = _first_failure(results, environment)
        if failure is not None:
            return Outcome(results, f"{failure}; see {target / 'dbt.log'}")
        shutil.rmtree(target, ignore_errors=True)
        return Outcome(results, None)


def _parse(folder: Path, kept: Path) -> None:
    """Beside the place and renamed into it; manifests of other versions of the project go."""
    fresh = kept.with_name(f"{kept.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    said, code = _call(folder, fresh, ["parse"], _connection_environment(_NOWHERE))
    if code != 0:
        raise MartsError(f"dbt parse: {_last_error(said, {})}; see {fresh / 'dbt.log'}")
    for old in kept.parent.glob("project-*"):
        if old != fresh:
            shutil.rmtree(old, ignore_errors=True)
    fresh.rename(kept)


def _call(
    folder: Path, target: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[list[str], int]:
    """Run dbt as a process of its own; its error output in lines, and its exit code (2: it could not work at all)."""
    command = [
        sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--quiet", "--no-use-colors",
        "--no-version-check", *arguments,
        "--project-dir", str(folder), "--profiles-dir", str(folder),
        "--target-path", str(target), "--log-path", str(target),
    ]  # fmt: skip
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(
            command, cwd=target, env={**kept, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MartsError(
            f"dbt {arguments[0]}: has not ended after {TIMEOUT_SECONDS} s; see what holds schema billing_marts locked"
            f" in pg_stat_activity, and {target / 'dbt.log'}"
        ) from None
    return [line.strip() for line in done.stdout.splitlines() if line.strip()], done.returncode


def _results(path: Path) -> tuple[NodeResult, ...]:
    if not path.is_file():
        return ()
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    return tuple(NodeResult(row["unique_id"], row["status"], row["message"], row["failures"]) for row in rows)


def _first_failure(results: Sequence[NodeResult], environment: Mapping[str, str]) -> str | None:
    """Null when every model that was to be made is; a failing data test alone leaves the views as they should be."""
    left = [one for one in results if one.is_model and one.status not in _SUCCEEDED]
    if not left:
        return None
    cause = next((one for one in results if one.status in ("error", "fail")), left[0])
    told = _masked(" ".join((cause.message or cause.status).split()), environment)
    return f"{len(left)} of {sum(one.is_model for one in results)} views not made; {cause.name}: {told[:400]}"


def _last_error(said: Sequence[str], environment: Mapping[str, str]) -> str:
    """dbt words an error over several lines; the last few of them say what and where."""
    return _masked(" ".join(said[-4:])[-400:], environment) or "ended without a word"


def _masked(text: str, environment: Mapping[str, str]) -> str:
    password = environment.get(_PASSWORD, "")
    return text.replace(password, "…") if len(password) > 2 else text


def _kept(data_dir: Path, digest: str) -> Path:
    return data_dir / "dbt" / f"project-{digest[:16]}"


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    folder = data_dir / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _naming_the_folder(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MartsError(f"{error.filename or data_dir / 'dbt'}: cannot be written: {error.strerror}") from None
