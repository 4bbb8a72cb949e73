"""docker/compose.yaml without Docker: each service's own command and health check as a process on loopback.

What a container has for itself is given by translation: its paths lie in a folder, the host names are 127.0.0.1, and
each port is a free one. Nothing else of a command is changed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

import billing_pipeline
from billing_pipeline.storage import embedded
from billing_pipeline_tests.pipeline.program import environment
from billing_pipeline_tests.pipeline.tcp_server import TcpServer, free_port

ROOT = Path(billing_pipeline.__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PASSWORD = "compose-canary-77"
HEALTHY_S = 300
_VARIABLE = re.compile(r"\$\{(\w+)(?::[?-][^}]*)?\}")


def image_environment() -> dict[str, str]:
    """What the Dockerfile's ENV sets."""
    words = re.findall(r"^ENV (.*)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    return dict(word.split("=", 1) for line in words for word in line.split())


class Containers:
    """The services on a running PostgreSQL; /config, /data and /dagster_home lie in `folder`."""

    def __init__(self, folder: Path, server: TcpServer) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._code_port = str(free_port())
        self.ports = {name: str(free_port()) for name, one in SERVICES.items() if "ports" in one}
        self._server = server
        for name in ("config", "data", "dagster_home"):
            (folder / name).mkdir(exist_ok=True)
        for name in ("dagster.yaml", "workspace.yaml"):
            text = (ROOT / "docker" / name).read_text()
            (folder / "dagster_home" / name).write_text(
                text.replace("host: code", "host: 127.0.0.1").replace("port: 4000", f"port: {self._code_port}")
            )

    def url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def database(self, name: str) -> str:
        return f"postgresql://billing:{PASSWORD}@127.0.0.1:{self._server.port}/{name}"

    def translated(self, service: str, text: str) -> str:
        """A word of compose.yaml as it has to be on this machine."""
        text = _VARIABLE.sub(lambda found: {"POSTGRES_PASSWORD": PASSWORD}[found[1]], text)
        text = text.replace("@postgres:5432/", f"@127.0.0.1:{self._server.port}/").replace("0.0.0.0", "127.0.0.1")
        text = re.sub(r"(?<![\w.])/(config|data|dagster_home)\b", lambda found: str(self.folder / found[1]), text)
        text = re.sub(r"\b4000\b", self._code_port, text)
        return re.sub(r"\b3000\b", self.ports.get(service, "3000"), text)

    def environment(self, service: str) -> dict[str, str]:
        """The image's and the service's variables; PostgreSQL's client programs and this environment's on the PATH."""
        if service == "postgres":
            # The image's socket and its default port, as seen from here.
            given = {"PGHOST": "127.0.0.1", "PGPORT": str(self._server.port)}
        else:
            ours = {**image_environment(), **SERVICES[service]["environment"]}
            given = {name: self.translated(service, value) for name, value in ours.items()}
        path = [str(Path(sys.executable).parent), os.environ["PATH"], str(embedded._binaries())]
        # Dagster's own 60 s for an answer of the code server are too few on two cores that run all the tests.
        patient = {"DAGSTER_GRPC_TIMEOUT_SECONDS": "300"}
        return environment({**given, **patient, "HOME": str(self.folder), "PATH": os.pathsep.join(path)})

    def command(self, service: str) -> list[str]:
        return [self.translated(service, word) for word in SERVICES[service]["command"]]

    def run(self, service: str) -> "subprocess.CompletedProcess[str]":
        """A service that ends by itself."""
        return subprocess.run(
            self._program(service, self.command(service)), env=self.environment(service), cwd=self.folder,
            capture_output=True, text=True, timeout=HEALTHY_S, check=False,
        )  # fmt: skip

    def start(self, service: str, *, replaced: Mapping[str, str] | None = None, **extra: str) -> None:
        """Start a service that stays; `replaced` changes words of its command, `extra` adds to its environment."""
        words = [(replaced or {}).get(word, word) for word in self.command(service)]
        with (self.folder / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                self._program(service, words), env={**self.environment(service), **extra}, cwd=self.folder,
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _program(self, service: str, words: list[str]) -> list[str]:
        found = shutil.which(words[0], path=self.environment(service)["PATH"])
        assert found, f"{service}: no program {words[0]}"
        return [found, *words[1:]]

    def check_health(self, service: str) -> "subprocess.CompletedProcess[str]":
        """The service's own health check, once."""
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        words = [self.translated(service, word) for word in words]
        command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else self._program(service, words)
        try:
            return subprocess.run(
                command, env=self.environment(service), cwd=self.folder, capture_output=True, text=True, timeout=60,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", "no answer within 60 s")

    def wait_healthy(self, service: str) -> None:
        deadline = time.monotonic() + HEALTHY_S
        while (checked := self.check_health(service)).returncode:
            process = self.processes.get(service)
            assert process is None or process.poll() is None, f"{service} has ended: {self.said(service)}"
            assert time.monotonic() < deadline, f"{service}: {checked.stdout}{checked.stderr}{self.said(service)}"
            time.sleep(0.5)

    def said(self, service: str) -> str:
        """The end of what it printed."""
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]

    def kill(self, service: str) -> None:
        """kill -9 of the service's processes, all of them, as when its container is killed."""
        processes = self._tree(service)
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=30)
        self.processes.pop(service).wait()

    def stop_all(self) -> None:
        """As `docker compose down`: SIGTERM, and SIGKILL for what is left."""
        trees = [process for name in self.processes for process in self._tree(name)]
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(trees, timeout=30)
        for process in alive:
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()

    def _tree(self, service: str) -> list[psutil.Process]:
        try:
            first = psutil.Process(self.processes[service].pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
