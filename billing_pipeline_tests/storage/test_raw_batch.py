"""A batch keeps what a single put keeps: all of it, or none of it visible."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from billing_pipeline.storage.raw import RawStore
from billing_pipeline.storage.raw_batch import raw_batch

KILLED = """
import os, signal, sys
from pathlib import Path
from billing_pipeline.storage.raw import RawStore
from billing_pipeline.storage.raw_batch import raw_batch
with raw_batch(RawStore(Path(sys.argv[1])), "SFR", "2024-03") as batch:
    batch.put(b"half a month", extension="json", sidecar={})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_documents_of_many_threads_are_all_there_after_the_batch(tmp_path):
    raw = RawStore(tmp_path)
    with raw_batch(raw, "SFR", "2024-03") as batch, ThreadPoolExecutor(8) as threads:
        kept = list(
            threads.map(lambda n: batch.put(f"{n}".encode(), extension="json", sidecar={"name": str(n)}), range(60))
        )
        assert raw.documents("SFR", "2024-03") == []
    stored = {one.sha256: one for one in raw.documents("SFR", "2024-03")}
    assert stored.keys() == {one.sha256 for one in kept}
    assert all(stored[one.sha256].first_seen == one.first_seen for one in kept)
    assert {one.sidecar["name"] for one in stored.values()} == {str(n) for n in range(60)}


def test_the_same_bytes_again_keep_the_time_they_were_first_seen(tmp_path):
    raw = RawStore(tmp_path)
    first = raw.put("SFR", "2024-03", b"x", extension="json", sidecar={"name": "old"})
    with raw_batch(raw, "SFR", "2024-03") as batch:
        batch.put(b"x", extension="json", sidecar={"name": "middle"})
        batch.put(b"x", extension="json", sidecar={"name": "new"})
    again = raw.document("SFR", "2024-03", first.sha256)
    assert again.first_seen == first.first_seen
    assert again.sidecar["name"] == "new"


def test_a_batch_that_fails_keeps_what_was_received(tmp_path):
    raw = RawStore(tmp_path)

    def collect() -> None:
        with raw_batch(raw, "SFR", "2024-03") as batch:
            batch.put(b"received", extension="csv", sidecar={})
            raise RuntimeError("the next request failed")

    with pytest.raises(RuntimeError, match="the next request"):
        collect()
    assert len(raw.documents("SFR", "2024-03")) == 1
    assert [path.name for path in raw.folder("SFR", "2024-03").glob(".*")] == []


def test_a_killed_batch_shows_nothing_and_the_next_one_clears_it_away(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    raw = RawStore(tmp_path)
    assert raw.documents("SFR", "2024-03") == []
    left = list(raw.folder("SFR", "2024-03").glob(".incoming-*"))
    assert len(left) == 1
    with raw_batch(raw, "SFR", "2024-03") as one, raw_batch(raw, "SFR", "2024-03") as beside:
        assert not left[0].exists()
        one.put(b"a", extension="json", sidecar={})
        beside.put(b"b", extension="json", sidecar={})
    assert len(raw.documents("SFR", "2024-03")) == 2
    assert list(raw.folder("SFR", "2024-03").glob(".*")) == []


def test_a_sidecar_is_the_same_as_that_of_a_single_put(tmp_path):
    raw = RawStore(tmp_path)
    single = raw.put("SFR", "2024-02", b"x", extension="json", sidecar={"name": "é"})
    with raw_batch(raw, "SFR", "2024-03") as batch:
        batch.put(b"x", extension="json", sidecar={"name": "é"})
    texts = [json.loads((raw.folder("SFR", p) / f"{single.sha256}.json").read_text()) for p in ("2024-02", "2024-03")]
    assert {**texts[0], "first_seen": ""} == {**texts[1], "first_seen": ""}
