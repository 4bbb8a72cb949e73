"""`docs`: one page about the views, on loopback only, made and shown without a network."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from billing_pipeline.steps import marts


@pytest.fixture(scope="module")
def served(made, new_office):
    """The page's URL and file while the command runs."""
    office = new_office(made)
    office.configure(months=12, data_dir=office.folder / "data")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "DAGSTER_", "PG"))}
    with subprocess.Popen(
        [sys.executable, "-m", "billing_pipeline", "--config", str(office.config_path), "docs", "--port", "0"],
        cwd=office.folder, env={**kept, **office.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell starts what runs in its background deaf to Ctrl-C, and so would be what that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:[0-9]+", line)
        assert found, line + process.stderr.read()
        yield found[0], office
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=30), process.stderr.read()) == (0, "")


def _page(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def test_the_page_tells_every_view_column_and_what_it_rests_on(served):
    url, _ = served
    page = _page(f"{url}/index.html")
    for name in marts.model_names(marts.project_folder()):
        assert f"model.billing_pipeline.{name}" in page
    assert "What is left of what was never disputed: no euro is claimed twice." in page
    # The catalogue was asked of the database: types as PostgreSQL has them.
    assert "character(7)" in page or "bpchar" in page


def test_nothing_but_the_page_is_served(served):
    url, office = served
    folder = office.data_dir / "dbt" / "docs"
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    for path in ("/manifest.json", "/../lock", "/..%2flock"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            _page(url + path)


def test_the_page_holds_no_connection(served):
    url, office = served
    page = _page(f"{url}/")
    assert office.url not in page
    assert json.dumps(str(office.folder)) not in page
