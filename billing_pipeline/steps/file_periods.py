"""Which period a charge file in a folder belongs to, where that takes reading it. The rule itself is r189/naming.py's."""

import hashlib
from collections import Counter
from pathlib import Path

from billing_pipeline.config import Profile
from billing_pipeline.errors import RefusedFile, SourceError
from billing_pipeline.periods import Period
from billing_pipeline.r189.naming import file_period, natural_key, period_in_name, stem
from billing_pipeline.r189.reader import R189File

# (hash of the file, profile) -> rows by Charge Month: a folder is listed once per period, its files are read once.
_votes: dict[tuple[str, str], Counter[str]] = {}


def stem_order(name: str) -> tuple[object, ...]:
    """Sorts file names by their stems in natural order: `x_v2` before `x_v10`."""
    return natural_key(stem(name))


def period_of_file(path: Path, profile: Profile) -> Period:
    """The period by the file's name, else by its rows; RefusedFile, naming it, when neither tells."""
    named = period_in_name(path.name)
    return named if named is not None else period_by_rows(path, path.name, profile)


def period_by_rows(path: Path, name: str, profile: Profile) -> Period:
    """The period all rows of the file delivered as `name` agree on; RefusedFile, naming it, when they do not."""
    period, _ = file_period(name, _charge_months(path, name, profile))
    if period is None:
        raise RefusedFile(
            f"{name}: neither its name nor its rows' Charge Month says which period it is for; "
            "rename it so that YYYY-MM stands in its name"
        )
    return period


def _charge_months(path: Path, name: str, profile: Profile) -> Counter[str]:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); mend the file's permissions") from None
    key = (sha256, profile.model_dump_json())
    if key not in _votes:
        votes: Counter[str] = Counter()
        for batch in R189File(path, profile, name=name, sha256=sha256).batches():
            votes.update(batch.month_votes())
        _votes[key] = votes
    return _votes[key]
