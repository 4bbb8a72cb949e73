"""What billing.yaml may say, and how a mistake in it is told."""

from decimal import Decimal
from pathlib import Path

import pytest

from billing_pipeline.config import Proration, environment_names, find_config, load_config
from billing_pipeline.errors import ConfigurationError

VALID = """\
version: 1
first_period: "2024-01"
services: {inventory: ./services.csv}
operators:
  - code: ORANGE
    name: Orange
    source: {type: r189_files, folder: ./inbox/orange}
  - code: SFR
    name: SFR
    source: {type: netwo, base_url: https://api.netwo.io, api_key_env: NETWO_API_KEY}
    reconciliation: {proration: THIRTIETHS, tolerance_per_line: "0.02"}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "billing.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_relative_paths_are_relative_to_the_file_not_to_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load_config(write(tmp_path, VALID))
    assert config.services.inventory == tmp_path / "services.csv"
    assert config.operators[0].source.folder == tmp_path / "inbox/orange"
    assert config.storage.data_dir == tmp_path / "data"


def test_what_is_not_said_has_the_contracts_defaults(tmp_path):
    config = load_config(write(tmp_path, VALID))
    orange, sfr = config.operators
    assert orange.reconciliation.proration is Proration.ACTUAL_DAYS
    assert orange.reconciliation.tolerance_per_line == Decimal("0.01")
    assert [key.value for key in orange.reconciliation.match_on] == [
        "service_id",
        "installed_offer_id",
        "external_reference",
        "serial_number",
        "order_reference",
    ]
    assert sfr.reconciliation.tolerance_per_line == Decimal("0.02")
    assert (sfr.source.http.attempts, sfr.source.http.concurrency) == (5, 8)
    assert config.storage.postgres_url_env == "BILLING_POSTGRES_URL"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("name: Orange", "nmae: Orange"), "unknown key 'operators[0].nmae'; did you mean 'name'?"),
        (("folder:", "foldr:"), "unknown key 'operators[0].source.foldr'; did you mean 'folder'?"),
        (("proration:", "proratoin:"), "'operators[1].reconciliation.proratoin'; did you mean 'proration'?"),
        (("THIRTIETHS", "THIRDS"), "'operators[1].reconciliation.proration': Input should be 'ACTUAL_DAYS'"),
        (('"0.02"', "0.02"), "tolerance_per_line': write it in quotes"),
        (("code: SFR", "code: sfr"), "'operators[1].code'"),
        (("code: SFR", "code: ORANGE"), "operator ORANGE stands 2 times"),
        (('"2024-01"', '"2024-13"'), "'first_period': '2024-13' is not a period"),
        (("version: 1", "version: 2"), "'version'"),
        (("version: 1", "version: 1\nversion: 1"), "key 'version' stands twice"),
        (("operators:", "operators: ["), "is not YAML"),
        (("services: {inventory: ./services.csv}\n", ""), "'services' is missing"),
        (("https://api.netwo.io", "https://user:hunter2@api.netwo.io"), "'operators[1].source.base_url'"),
    ],
)
def test_a_mistake_is_told_in_one_line_that_names_file_and_key(tmp_path, change, said):
    text = VALID.replace(*change)
    assert text != VALID
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    message = str(caught.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_missing_file_is_named_with_the_ways_to_name_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BILLING_CONFIG", raising=False)
    with pytest.raises(ConfigurationError, match=r"billing\.yaml: no such file; .*--config FILE or BILLING_CONFIG"):
        find_config(None)


def test_the_option_beats_the_environment_which_beats_the_folder(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        write(folder, VALID)
    monkeypatch.chdir(here)
    monkeypatch.delenv("BILLING_CONFIG", raising=False)
    assert find_config(None) == here / "billing.yaml"
    monkeypatch.setenv("BILLING_CONFIG", str(there / "billing.yaml"))
    assert find_config(None) == there / "billing.yaml"
    assert find_config(here / "billing.yaml") == here / "billing.yaml"


def test_every_secret_is_named_by_its_environment_variable(tmp_path):
    assert environment_names(load_config(write(tmp_path, VALID))) == [("SFR", "NETWO_API_KEY")]
