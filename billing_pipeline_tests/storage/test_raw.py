"""What was received stays as received, and what was collected stays known."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from billing_pipeline.errors import StorageError
from billing_pipeline.storage.raw import RawStore

SIDECAR = {"name": "R189-Charges+9300856", "request": {"url": "https://api/reports/1"}, "declared_count": 3}


@pytest.fixture
def raw(tmp_path: Path) -> RawStore:
    return RawStore(tmp_path / "raw")


def test_bytes_are_kept_under_their_hash_beside_their_sidecar(raw: RawStore) -> None:
    content = b"\xff\x00;a\r\n"
    document = raw.put("ORANGE", "2024-03", content, extension="csv", sidecar=SIDECAR)
    sha256 = hashlib.sha256(content).hexdigest()
    assert document.path == raw.root / "ORANGE" / "2024-03" / f"{sha256}.csv"
    assert (document.path.read_bytes(), document.bytes, document.sha256) == (content, len(content), sha256)
    sidecar = json.loads((document.path.parent / f"{sha256}.json").read_text())
    assert sidecar == {**SIDECAR, "sha256": sha256, "bytes": 6, "file": f"{sha256}.csv",
        "first_seen": document.first_seen.isoformat()}  # fmt: skip
    assert raw.document("ORANGE", "2024-03", sha256) == document
    assert raw.documents("ORANGE", "2024-03") == [document]


def test_a_json_answer_is_not_overwritten_by_its_own_sidecar(raw: RawStore) -> None:
    document = raw.put("SFR", "2024-03", b'{"data": []}', extension="json", sidecar=SIDECAR)
    assert document.path.name == f"{document.sha256}.body.json"
    assert raw.document("SFR", "2024-03", document.sha256).path.read_bytes() == b'{"data": []}'
    assert raw.documents("SFR", "2024-03") == [document]


def test_the_same_bytes_again_keep_when_they_were_first_seen(raw: RawStore) -> None:
    first = raw.put("ORANGE", "2024-03", b"x", extension="csv", sidecar={"name": "a"})
    again = raw.put("ORANGE", "2024-03", b"x", extension="csv", sidecar={"name": "b"})
    assert (again.first_seen, again.sidecar["name"]) == (first.first_seen, "b")
    assert len(list(first.path.parent.iterdir())) == 2


def test_a_big_file_is_copied_in_pieces(raw: RawStore, tmp_path: Path) -> None:
    source = tmp_path / "report.csv.gz"
    size = 256 << 20
    with source.open("wb") as file:
        file.truncate(size)
    program = """
import sys, resource
from pathlib import Path
from billing_pipeline.storage.raw import RawStore
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
document = RawStore(Path(sys.argv[1])).put("ORANGE", "2024-03", Path(sys.argv[2]), extension="csv.gz", sidecar={})
print(document.bytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program, raw.root, source], capture_output=True, text=True, check=True)
    copied, grown_mb = map(int, done.stdout.split())
    assert copied == size
    assert grown_mb < 32


@pytest.mark.parametrize("damage", ["altered", "cut", "missing"])
def test_a_kept_document_that_changed_is_named(raw: RawStore, damage: str) -> None:
    document = raw.put("ORANGE", "2024-03", b"12450.00", extension="csv", sidecar={})
    match damage:
        case "altered":
            document.path.write_bytes(b"12450.01")
        case "cut":
            document.path.write_bytes(b"124")
        case "missing":
            document.path.unlink()
    with pytest.raises(StorageError, match=document.path.name):
        raw.document("ORANGE", "2024-03", document.sha256)
    raw.put("ORANGE", "2024-03", b"12450.00", extension="csv", sidecar={})
    assert raw.document("ORANGE", "2024-03", document.sha256).path.read_bytes() == b"12450.00"


def test_a_document_without_its_sidecar_is_named(raw: RawStore) -> None:
    document = raw.put("ORANGE", "2024-03", b"x", extension="csv", sidecar={})
    sidecar = document.path.with_suffix(".json")
    sidecar.write_text("{")
    with pytest.raises(StorageError, match=f"{sidecar.name}: is not JSON"):
        raw.document("ORANGE", "2024-03", document.sha256)
    sidecar.unlink()
    with pytest.raises(StorageError, match=f"{sidecar.name}: cannot be read"):
        raw.document("ORANGE", "2024-03", document.sha256)


def test_a_copy_that_was_killed_leaves_no_document(raw: RawStore, tmp_path: Path) -> None:
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    program = """
import sys
from pathlib import Path
from billing_pipeline.storage.raw import RawStore
RawStore(Path(sys.argv[1])).put("ORANGE", "2024-03", Path(sys.argv[2]), extension="csv", sidecar={})
"""
    copying = subprocess.Popen([sys.executable, "-c", program, raw.root, pipe])
    with pipe.open("wb") as writing:
        writing.write(b"x" * (3 << 20))
        writing.flush()
        copying.send_signal(signal.SIGKILL)
        copying.wait()
    assert raw.documents("ORANGE", "2024-03") == []
    assert all(path.name.startswith(".incoming-") for path in raw.folder("ORANGE", "2024-03").iterdir())


@pytest.mark.parametrize(
    ("operator", "period", "extension"),
    [
        ("../ORANGE", "2024-03", "csv"), ("orange", "2024-03", "csv"), ("ORANGE", "2024-13", "csv"),
        ("ORANGE", "../2024-03", "csv"), ("ORANGE", "2024-03", "../csv"), ("ORANGE", "2024-03", "c/sv"), ("ORANGE", "2024-03", ""),
    ],
)  # fmt: skip
def test_nothing_is_written_outside_the_store(raw: RawStore, operator: str, period: str, extension: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        raw.put(operator, period, b"x", extension=extension, sidecar={})
    assert not raw.root.exists() or not [path for path in raw.root.rglob("*") if path.is_file()]
    with pytest.raises(ValueError, match="is not a SHA-256"):
        raw.document("ORANGE", "2024-03", "../../etc/passwd")


def test_collections_are_listed_in_order_and_the_last_complete_one_is_found(raw: RawStore) -> None:
    states = [("complete", None), ("complete", None), ("incomplete", "2 of 3 files")]
    made = [
        raw.write_manifest(
            "ORANGE", "2024-03", {"run_id": f"run/{index}", "state": state, "detail": detail, "gaps": []}
        )
        for index, (state, detail) in enumerate(states)
    ]
    assert raw.manifests("ORANGE", "2024-03") == made
    assert raw.latest("ORANGE", "2024-03") == made[2]
    assert raw.last_complete("ORANGE", "2024-03") == made[1]
    assert made[2].content["gaps"] == []
    assert made[0].path.name.endswith("-run_0.json")
    assert raw.last_complete("ORANGE", "2024-04") is None
    assert (raw.operators(), raw.periods("ORANGE"), raw.periods("SFR")) == (["ORANGE"], ["2024-03"], [])


def test_a_state_set_later_is_read_back_and_the_rest_stays(raw: RawStore) -> None:
    made = raw.write_manifest("ORANGE", "2024-03", {"run_id": "r", "documents": [{"sha256": "x"}]})
    assert made.state is None
    assert raw.last_complete("ORANGE", "2024-03") is None
    changed = raw.set_state(made, "complete", None)
    assert raw.last_complete("ORANGE", "2024-03") == changed
    assert changed.content["documents"] == [{"sha256": "x"}]


def test_the_newest_collection_is_the_last_even_when_the_clock_was_set_back(raw: RawStore) -> None:
    made = raw.write_manifest("ORANGE", "2024-03", {"run_id": "r", "state": "complete"})
    future = {**made.content, "run_id": "future", "recorded_at": "2099-01-01T00:00:00+00:00"}
    made.path.with_name("20990101T000000.000000Z-future.json").write_text(json.dumps(future))
    assert raw.write_manifest("ORANGE", "2024-03", {"run_id": "new"}) == raw.latest("ORANGE", "2024-03")


def test_a_full_disk_is_named(raw: RawStore, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"raw.*cannot be written"):
        raw.put("ORANGE", "2024-03", b"x", extension="csv", sidecar={})
