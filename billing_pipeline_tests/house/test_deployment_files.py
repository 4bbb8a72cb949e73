"""The container files hold together: what compose starts exists, and nothing in it is a secret or the engine's socket."""

from pathlib import Path

import pytest
import yaml

import billing_pipeline
from billing_pipeline.defs.instance import DAGSTER_YAML

ROOT = Path(billing_pipeline.__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "postgres"}


def test_there_is_one_daemon_and_what_it_needs():
    daemons = [name for name, service in SERVICES.items() if "dagster-daemon" in service.get("command", [])]
    assert daemons == ["daemon"]
    assert SERVICES["daemon"]["deploy"]["replicas"] == 1
    assert {"postgres", "migrate", "code", "webserver", "webserver-read-only", "daemon"} == set(SERVICES)
    assert int(SERVICES["postgres"]["image"].partition(":")[2]) >= 16


def test_what_waits_for_health_waits_for_something_that_tells_it():
    for service in SERVICES.values():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]


def test_readers_get_a_webserver_that_cannot_start_runs_and_both_stay_on_loopback():
    assert "--read-only" in SERVICES["webserver-read-only"]["command"]
    assert "--read-only" not in SERVICES["webserver"]["command"]
    for name in ("webserver", "webserver-read-only"):
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", sorted(OURS))
def test_no_container_of_ours_has_more_rights_than_it_needs(name):
    service = OURS[name]
    assert service["cap_drop"] == ["ALL"]
    assert "docker.sock" not in str(service)
    assert "privileged" not in service


def test_the_image_runs_as_an_ordinary_user_from_the_lock():
    lines = (ROOT / "docker/Dockerfile").read_text().splitlines()
    assert "USER billing" in lines
    assert any("--require-hashes -r requirements.lock" in line for line in lines)
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1] if word[0] not in "-"]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_passwords_come_from_the_environment():
    text = (ROOT / "docker/compose.yaml").read_text()
    for line in text.splitlines():
        if "PASSWORD" in line or "postgresql" in line:
            assert "${POSTGRES_PASSWORD" in line or line.lstrip().startswith("#") or "/var/lib/" in line, line


def test_containers_and_the_command_line_run_dagster_with_the_same_settings():
    assert yaml.safe_load((ROOT / "docker/dagster.yaml").read_text()) == yaml.safe_load(DAGSTER_YAML)


def test_the_workspaces_name_one_code_location():
    grpc = yaml.safe_load((ROOT / "docker/workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    local = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    assert grpc["location_name"] == local["location_name"] == "billing_pipeline"
    assert grpc["host"] in SERVICES
    assert str(grpc["port"]) in SERVICES["code"]["command"]
