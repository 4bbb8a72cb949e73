"""billing.yaml as typed models. Reads the file and names what is wrong in it; contacts nothing, reads no secret."""

import os
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from billing_pipeline.config_mistakes import StrictLoader, explain
from billing_pipeline.config_operating import Alerts, DayOfMonth, Schedule
from billing_pipeline.config_types import EnvironmentName, HttpUrl, Model
from billing_pipeline.errors import ConfigurationError
from billing_pipeline.periods import Period

DEFAULT_FILE = "billing.yaml"
ENVIRONMENT_FILE = "BILLING_CONFIG"


def _period_text(text: str) -> str:
    Period.parse(text)
    return text


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


def _exact_decimal(value: object) -> object:
    if isinstance(value, float):
        raise ValueError('write it in quotes, for example "0.01", so that it stays exact')
    return value


ExactDecimal = Annotated[Decimal, BeforeValidator(_exact_decimal), Field(allow_inf_nan=False, ge=0)]
PeriodText = Annotated[str, AfterValidator(_period_text)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
OperatorCode = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,19}$")]


class Proration(StrEnum):
    """How a partial month is priced; the rules stand in reconciliation/expect.py."""

    ACTUAL_DAYS = "ACTUAL_DAYS"
    THIRTIETHS = "THIRTIETHS"
    FULL_START_MONTH = "FULL_START_MONTH"
    FULL_MONTH = "FULL_MONTH"


class MatchKey(StrEnum):
    """The tiers by which a line finds its service, in their default order."""

    SERVICE_ID = "service_id"
    INSTALLED_OFFER_ID = "installed_offer_id"
    EXTERNAL_REFERENCE = "external_reference"
    SERIAL_NUMBER = "serial_number"
    ORDER_REFERENCE = "order_reference"


class ChargeType(StrEnum):
    RECURRING = "recurring"
    ONE_OFF = "one_off"
    USAGE = "usage"


class DocumentType(StrEnum):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class DateFormat(StrEnum):
    """The date styles an R189 file may use, as strftime writes them."""

    ISO = "%Y-%m-%d"
    DAY_FIRST = "%d/%m/%Y"
    MONTH_FIRST = "%m/%d/%Y"
    DAY_MONTH_NAME = "%d-%b-%Y"
    COMPACT = "%Y%m%d"


class ChargeMonthFormat(StrEnum):
    ISO = "%Y-%m"
    COMPACT = "%Y%m"
    MONTH_FIRST = "%m/%Y"
    MONTH_NAME = "%b-%y"


class Profile(Model):
    """What is known about an operator's files and words; what is absent is detected (r189/) or has a default."""

    encoding: Literal["utf-8", "windows-1252"] | None = None
    decimal: Literal[".", ","] | None = None
    date_format: DateFormat | None = None
    charge_month_format: ChargeMonthFormat | None = None
    tax_rate: Literal["percent", "fraction"] | None = None
    document_types: Mapping[str, DocumentType] = {}
    frequencies: Mapping[str, ChargeType] = {}
    charge_types: Mapping[Pattern, ChargeType] = {}


class ReconciliationRules(Model):
    """The operator's contract terms as far as verdicts depend on them."""

    proration: Proration = Proration.ACTUAL_DAYS
    tolerance_per_line: ExactDecimal = Decimal("0.01")
    match_on: Annotated[tuple[MatchKey, ...], Field(min_length=1)] = tuple(MatchKey)
    max_rejected_ratio: Annotated[ExactDecimal, Field(le=1)] = Decimal("0.01")
    claim_months: Annotated[int, Field(ge=1)] = 12


class HttpSettings(Model):
    """Limits of every request to an API: seconds, attempts per request, requests at once per operator."""

    connect_timeout_s: Annotated[float, Field(gt=0)] = 10
    read_timeout_s: Annotated[float, Field(gt=0)] = 30
    deadline_s: Annotated[float, Field(gt=0)] = 300
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8


class NetwoSource(Model):
    type: Literal["netwo"]
    base_url: HttpUrl
    operator_code: str | None = None  # the hub's code for the operator, where it differs from ours
    api_key_env: EnvironmentName
    http: HttpSettings = HttpSettings()


class OrangeSource(Model):
    type: Literal["orange_b2b"]
    base_url: HttpUrl
    token_url: HttpUrl
    client_id_env: EnvironmentName
    client_secret_env: EnvironmentName
    api_key_env: EnvironmentName
    api_key_expires_on: date | None = None
    drop_folder: Path | None = None
    http: HttpSettings = HttpSettings()


class R189FilesSource(Model):
    type: Literal["r189_files"]
    folder: Path


Source = Annotated[NetwoSource | OrangeSource | R189FilesSource, Field(discriminator="type")]


class Operator(Model):
    code: OperatorCode
    name: Annotated[str, Field(min_length=1)]
    source: Source
    profile: Profile = Profile()
    reconciliation: ReconciliationRules = ReconciliationRules()


class Storage(Model):
    data_dir: Path = Path("./data")
    postgres_url_env: EnvironmentName = "BILLING_POSTGRES_URL"
    dagster_postgres_url_env: EnvironmentName = "BILLING_DAGSTER_POSTGRES_URL"


class Services(Model):
    inventory: Path
    prices: Path | None = None
    expected_charges: Path | None = None
    payments: Path | None = None
    disputes: Path | None = None


class Spark(Model):
    master: str | None = None
    remote: str | None = None
    token_env: EnvironmentName | None = None


class Rebilling(Model):
    type: Literal["customer_invoicing"]
    base_url: HttpUrl
    api_key_env: EnvironmentName
    customers: Path
    http: HttpSettings = HttpSettings()


class Api(Model):
    keys_env: EnvironmentName = "BILLING_API_KEYS"


class BillingConfig(Model):
    """The whole file. `path` is where it was read from; relative paths in it are already absolute."""

    path: Path
    version: Literal[1]
    first_period: PeriodText
    storage: Storage = Storage()
    engine: Literal["duckdb", "spark"] = "duckdb"
    spark: Spark | None = None
    services: Services
    operators: Annotated[tuple[Operator, ...], Field(min_length=1)]
    rebilling: Rebilling | None = None
    api: Api = Api()
    schedule: Schedule = Schedule()
    # From this day on, in Paris, an operator whose month before has no verdicts is late.
    freshness_day: DayOfMonth = 10
    alerts: Alerts | None = None

    def operator(self, code: str) -> Operator:
        for operator in self.operators:
            if operator.code == code:
                return operator
        known = ", ".join(operator.code for operator in self.operators)
        raise ConfigurationError(f"{self.path}: no operator {code!r} is configured; there are {known}")


def find_config(option: Path | None) -> Path:
    """`--config`, else `BILLING_CONFIG`, else billing.yaml in the working directory."""
    named = option or os.environ.get(ENVIRONMENT_FILE) or DEFAULT_FILE
    path = Path(os.path.abspath(Path(named).expanduser()))
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: no such file; name the configuration with --config FILE or {ENVIRONMENT_FILE}"
        )
    return path


def load_config(path: Path) -> BillingConfig:
    """Read and check the file. ConfigurationError names the key at fault and, for an unknown one, the nearest."""
    path = Path(os.path.abspath(path))
    try:
        document = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=StrictLoader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(
            f"{path}:{where} is not YAML: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: holds no keys; it starts with 'version: 1'")
    if "path" in document:
        raise ConfigurationError(f"{path}: unknown key 'path'; remove it")
    try:
        config = BillingConfig.model_validate({**document, "path": path})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {'; '.join(explain(error, BillingConfig))}") from None
    _refuse_contradictions(config)
    return _with_absolute_paths(config)


def _refuse_contradictions(config: BillingConfig) -> None:
    codes = [operator.code for operator in config.operators]
    for code in codes:
        if codes.count(code) > 1:
            raise ConfigurationError(f"{config.path}: operator {code} stands {codes.count(code)} times in 'operators'")
    if config.engine == "spark" and (config.spark is None or bool(config.spark.master) == bool(config.spark.remote)):
        raise ConfigurationError(f"{config.path}: engine spark needs 'spark' with either 'master' or 'remote'")
    for name in ("payments", "disputes"):
        # One file for all months: with one per month the last one run would undo the others.
        if "{period}" in str(getattr(config.services, name) or ""):
            raise ConfigurationError(
                f"{config.path}: 'services.{name}' holds all periods; name one file, without {{period}}"
            )
    if config.spark is not None and "token=" in (config.spark.remote or ""):
        raise ConfigurationError(
            f"{config.path}: 'spark.remote' holds a token; put it into an environment variable and name that in "
            "'spark.token_env'"
        )
    for index, operator in enumerate(config.operators):
        keys = operator.reconciliation.match_on
        if len(set(keys)) < len(keys):
            raise ConfigurationError(f"{config.path}: 'operators[{index}].reconciliation.match_on' names a key twice")


def _with_absolute_paths(config: BillingConfig) -> BillingConfig:
    """The same models with every path made absolute against the file's folder."""
    base = config.path.parent

    def absolute(value: Any) -> Any:
        if isinstance(value, Path):
            return Path(os.path.normpath(base / value.expanduser()))
        if isinstance(value, Model):
            return value.model_copy(update={name: absolute(getattr(value, name)) for name in type(value).model_fields})
        if isinstance(value, tuple):
            return tuple(absolute(item) for item in value)
        return value

    made: BillingConfig = absolute(config)
    return made


def environment_names(config: BillingConfig) -> list[tuple[str, str]]:
    """(who needs it, environment variable) of every secret the configuration names, in the file's order."""
    found = []
    for operator in config.operators:
        for name in type(operator.source).model_fields:
            if name.endswith("_env"):
                found.append((operator.code, getattr(operator.source, name)))
    if config.spark is not None and config.spark.token_env is not None:
        found.append(("spark", config.spark.token_env))
    if config.rebilling is not None:
        found.append(("rebilling", config.rebilling.api_key_env))
    if config.alerts is not None:
        found.extend(("alerts", name) for name in config.alerts.environment_names)
    return found
