"""Which files of a folder are charge files: none that lies there is passed over for how its ending is written."""

from functools import partial
from pathlib import Path

import pytest

from billing_pipeline.config import Profile, R189FilesSource
from billing_pipeline.periods import Period
from billing_pipeline.sources.r189_files import R189Files
from billing_pipeline.steps.file_periods import period_of_file, stem_order
from billing_pipeline_tests.sources.shelf import Shelf


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("R189_202403.csv", "csv"),
        ("R189_202403.CSV", "csv"),
        ("R189_202403.Csv.GZ", "csv.gz"),
        ("R189_202403.csv.part", None),
        (".R189_202403.csv", None),
    ],
)
def test_the_ending_may_be_written_in_capitals(tmp_path: Path, name: str, extension: str | None) -> None:
    (tmp_path / name).write_bytes(b"x")
    source = R189FilesSource(type="r189_files", folder=tmp_path)
    files = R189Files(source, period_of=partial(period_of_file, profile=Profile()), stem_order=stem_order)
    collection = files.collect(Period(2024, 3), Shelf().keep)
    assert [one.extension for one in collection.documents] == ([extension] if extension else [])
    assert bool(collection.gaps) is (extension is None)
