"""A folder into which an operator's R189 charge files are dropped. Which period a file is for; not what it says."""

from collections.abc import Callable
from pathlib import Path

from billing_pipeline.config import R189FilesSource
from billing_pipeline.errors import RefusedFile, SourceError, as_text
from billing_pipeline.periods import Period
from billing_pipeline.sources.collection import Collection, Keep, Kept, Received, Role

# Ends of their names in small letters: some systems deliver `.CSV`.
ENDINGS = (".csv", ".csv.gz")
# The period of a file by its name or, failing that, by its rows (r189/naming.py); RefusedFile when it cannot be told.
PeriodOf = Callable[[Path], Period]


class R189Files:
    """The files of one operator's folder."""

    def __init__(
        self, source: R189FilesSource, *, period_of: PeriodOf, stem_order: Callable[[str], tuple[object, ...]]
    ) -> None:
        self._folder = source.folder
        self._period_of = period_of
        self._stem_order = stem_order

    def close(self) -> None:
        pass

    def collect(self, period: Period, keep: Keep) -> Collection:
        """The period's files, each content once, under the greater of its names."""
        kept: dict[str, Kept] = {}
        gaps: list[str] = []
        offered = 0
        for path in self.files():
            before = _state(path)
            try:
                if self._period_of(path) != period:
                    continue
            except RefusedFile as refusal:
                gaps.append(as_text(str(refusal)))
                keep(_received(path))
                continue
            except OSError as error:
                raise _unreadable(path, error) from None
            offered += 1
            document = keep(_received(path))
            if _state(path) != before:
                gaps.append(
                    f"{as_text(str(path))} changed while it was read; run the period again once it is delivered whole"
                )
            # Files come in stem order, so the greater name is the last to claim the content.
            kept[document.sha256] = document
        if not offered:
            gaps.append(f"{self._folder}: there is no file for {period}; put the operator's charge file there")
        return Collection(tuple(kept.values()), tuple(gaps), {}, {"files": offered})

    def files(self) -> list[Path]:
        """Every charge file of the folder, in natural order of stems. SourceError when the folder cannot be read."""
        try:
            found = [path for path in self._folder.iterdir() if _is_charge_file(path)]
        except OSError as error:
            raise SourceError(
                f"{self._folder}: cannot be read ({error.strerror}); create the folder or correct 'source.folder'"
            ) from None
        return sorted(found, key=lambda path: (self._stem_order(path.name), path.name))


def has_charges(name: str) -> bool:
    """Whether a file of this name is one of charges."""
    return name.lower().endswith(ENDINGS)


def _is_charge_file(path: Path) -> bool:
    """A dot file is somebody's temporary file, as it is to the shell's own patterns."""
    return path.name[0] != "." and has_charges(path.name) and path.is_file()


def _state(path: Path) -> tuple[int, int]:
    """What a writer of the file changes."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.st_size, found.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(
        f"{as_text(str(path))}: cannot be read: {error.strerror}; put the file back whole and run the period again"
    )


def _received(path: Path) -> Received:
    compressed = path.name.lower().endswith(".gz")
    return Received(
        role=Role.R189_CHARGES,
        name=as_text(path.name),
        location=as_text(str(path)),
        media_type="application/gzip" if compressed else "text/csv",
        extension="csv.gz" if compressed else "csv",
        content=path,
    )
