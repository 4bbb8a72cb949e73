"""What the README shows can be run: its make targets and commands exist, its configuration is valid."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import billing_pipeline
from billing_pipeline.cli import _parser
from billing_pipeline.config import load_config

ROOT = Path(billing_pipeline.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"billing-pipeline ([a-z][a-z-]+)", README)))
TARGETS = sorted(set(re.findall(r"(?:`|^)make ([a-z][a-z-]+)", README, re.MULTILINE)))


def test_the_readmes_configuration_is_valid(tmp_path):
    """The first; whatever else is shown as YAML is looked at by docs/test_blocks.py."""
    block = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "billing.yaml"
    path.write_text(block[1], encoding="utf-8")
    assert [operator.code for operator in load_config(path).operators] == ["SFR", "AXIONE", "ORANGE"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_the_readme_names_exists(target):
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_the_readme_names_exists(command):
    ended = subprocess.run(
        [sys.executable, "-m", "billing_pipeline", command, "--help"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_every_command_there_is_stands_in_the_readme():
    (commands,) = [action for action in _parser()._actions if action.dest != "help" and action.choices]
    assert {"run", "export", "db"} <= set(commands.choices)
    assert set(commands.choices) - set(COMMANDS) == set()


def test_the_readme_was_read():
    assert len(COMMANDS) >= 7
    assert len(TARGETS) >= 5
