"""Every way this pipeline says no, and who can do something about it.

    BillingError                     one clear line: what, where, remedy
    ├── UserError                    the caller can mend it; a rerun alone does not help      exit 2
    │   ├── UsageError                   the command line
    │   ├── ConfigurationError           billing.yaml or an environment variable it names
    │   └── InventoryError               services.csv, its prices and charges, payments.csv, disputes.csv
    ├── RefusedFile                  one delivered file cannot be read with certainty         exit 3
    ├── MartsError                   the analysts' views could not be made; tables are not touched   exit 1
    └── PartitionFailed              nothing was replaced                                     exit 1
        ├── SourceError                  an operator's API or folder; a rerun may help
        │   ├── SourceUnreachable            no answer, or none that is whole, after all attempts: try again later
        │   └── SourceRefused                it answered, and said no (401, 403, 404…): mend first
        ├── StorageError                 our database or disk; a rerun helps once it is back
        │   └── RecordsDisagree              what stands in two places about customer invoices differs: mend first
        ├── EngineError                  the Spark cluster; a rerun helps once it is back
        └── IdentityViolation            our own books do not balance: a defect, nothing published

`IncompleteCollection` is no error: it is a state of a collection (sources/collection.py).
Messages name the file, row, key or request and the remedy, and never hold a secret or a personal field.
"""

_LONGEST_SHOWN = 120


class BillingError(Exception):
    """Base of all expected failures; `str(error)` is one line fit for a terminal and a log."""

    exit_code = 1


class UserError(BillingError):
    exit_code = 2


class UsageError(UserError):
    pass


class ConfigurationError(UserError):
    pass


class InventoryError(UserError):
    pass


class RefusedFile(BillingError):
    """A delivered file that is kept raw and not loaded. The collection it belongs to is incomplete."""

    exit_code = 3


class MartsError(BillingError):
    """dbt or its project failed. The pipeline's tables and verdicts do not depend on it."""


class PartitionFailed(BillingError):
    pass


class SourceError(PartitionFailed):
    pass


class SourceUnreachable(SourceError):
    """The network or the operator's server; nobody has to mend anything here, so a run of the daemon tries again."""


class SourceRefused(SourceError):
    pass


class StorageError(PartitionFailed):
    pass


class RecordsDisagree(StorageError):
    pass


class EngineError(PartitionFailed):
    pass


class IdentityViolation(PartitionFailed):
    pass


class AmountsTooLarge(PartitionFailed):
    pass


def as_text(name: str) -> str:
    """A file's name as text that can be stored and printed: bytes that are not UTF-8 stand as `\\udce9`."""
    return name.encode("utf-8", "backslashreplace").decode()


def one_line(text: object) -> str:
    """An operator's own word, such as an id, fit for a message: on one line, no control characters, not endless."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in str(text))
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
