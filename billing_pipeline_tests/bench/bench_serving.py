"""How many answers a second `serve` gives beside PostgreSQL, and how far that is from a route that does nothing.

    python -m billing_pipeline_tests.bench.bench_serving [--rate 200] [--seconds 30] [--invoices 24000]

Three processes: the embedded PostgreSQL, `serve`, and this one, an open-loop generator: requests leave at their times
whether or not earlier ones were answered, and a latency counts from the time a request was due. The mix is half pages of
the list, a quarter invoices, a quarter pages of a reconciliation, over all operators and months. The peer is a bare
FastAPI route under the same uvicorn that returns a constant as long as a page of 50 invoices; against it both are asked
for pages as fast as they answer, in alternating runs, and the ratio of processor seconds per answer is printed too, which
a busy machine disturbs less.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import random
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvicorn
from fastapi import FastAPI, Response

from billing_pipeline.storage import embedded
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.api.results import Size, store
from billing_pipeline_tests.api.serving import KEY, LIST, RECONCILIATION, Serving, configuration, memory_bytes, serving

PAGE = f"{LIST}?period=2022-05&operatorCode=OP03"


@dataclass
class Outcome:
    """What a run of requests came to: seconds each, by status; 0 is a connection that broke."""

    took_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.took_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class Connections:
    """Kept-alive HTTP/1.1 over raw streams: a client library would cost this machine more than the server does."""

    def __init__(self, base_url: str) -> None:
        self._port = int(base_url.rpartition(":")[2])
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, target: str, outcome: Outcome, due: float) -> None:
        """One request; `due` is when it should have left, on the loop's clock."""
        try:
            pair = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = pair
            writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            status = int(head.split(b" ", 2)[1])
            self._idle.append(pair)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        outcome.took_s.append(asyncio.get_running_loop().time() - due)
        outcome.statuses[status] += 1

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def open_loop(base_url: str, targets: list[str], rate: float, seconds: float) -> Outcome:
    """`rate` requests a second, evenly spaced, for `seconds`; none waits for another."""
    outcome, connections, loop = Outcome(), Connections(base_url), asyncio.get_running_loop()
    started, running = loop.time(), set()
    for number, target in zip(range(int(rate * seconds)), itertools.cycle(targets), strict=False):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        task = asyncio.create_task(connections.ask(target, outcome, due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    connections.close()
    return outcome


async def closed_loop(base_url: str, target: str, count: int, workers: int = 16) -> Outcome:
    """`count` requests, `workers` at a time, each sent when the one before is answered."""
    outcome, connections, loop = Outcome(), Connections(base_url), asyncio.get_running_loop()
    waiting = iter(range(count))

    async def worker() -> None:
        for _ in waiting:
            await connections.ask(target, outcome, loop.time())

    await asyncio.gather(*(worker() for _ in range(workers)))
    connections.close()
    return outcome


def targets(size: Size, count: int) -> list[str]:
    """A fixed mix over all operators and months."""
    chance = random.Random(189)
    periods = [f"{2022 + month // 12}-{month % 12 + 1:02d}" for month in range(size.months)]
    found = []
    for kind in itertools.islice(itertools.cycle(["list", "list", "invoice", "verdict"]), count):
        code, period = f"OP{chance.randint(1, size.operators):02d}", chance.choice(periods)
        found.append({
            "list": f"{LIST}?period={period}&operatorCode={code}",
            "invoice": f"{LIST}/INV-{code}-{period}-{chance.randint(1, size.invoices):04d}",
            "verdict": f"{RECONCILIATION}?period={period}&operatorCode={code}&page={chance.randint(1, 20)}",
        }[kind])  # fmt: skip
    return found


@contextmanager
def with_results(size: Size) -> Iterator[Serving]:
    """`serve` on an embedded server of its own that holds results of this size; all of it is removed."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "serve").mkdir()
        running = embedded.start(folder / "data")
        try:
            create_database(running.url_for("postgres"), "bench")
            upgrade(running.url_for("bench"))
            store(running.url_for("bench"), size)
            codes = [f"OP{number:02d}" for number in range(1, size.operators + 1)]
            with serving(configuration(folder / "serve", codes), running.url_for("bench")) as api:
                yield api
        finally:
            embedded.stop(folder / "data")


def serve_constant(body: bytes, listener: socket.socket) -> None:
    app = FastAPI()

    @app.get(LIST)
    async def constant() -> Response:
        return Response(body, media_type="application/json")

    uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")).run([listener])


@contextmanager
def bare_route(body: bytes) -> Iterator[tuple[str, int]]:
    """(base URL, process id) of a FastAPI application that returns `body`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        process = multiprocessing.get_context("spawn").Process(
            target=serve_constant, args=(body, listener), daemon=True
        )
        process.start()
        assert process.pid is not None
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", process.pid
        finally:
            process.terminate()
            process.join()


def processor_s(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def measure_rate(api: Serving, size: Size, rate: float, seconds: float) -> None:
    mix = targets(size, 4000)
    asyncio.run(open_loop(api.base_url, mix, 50, 4))
    before, busy = memory_bytes(api.process.pid), processor_s(api.process.pid)
    outcome = asyncio.run(open_loop(api.base_url, mix, rate, seconds))
    grown_mb = (memory_bytes(api.process.pid) - before) / 1e6
    share = (processor_s(api.process.pid) - busy) / seconds
    errors = sum(count for status, count in outcome.statuses.items() if status != 200)
    print(
        f"{rate:.0f} requests/s for {seconds:.0f} s: p50 {outcome.percentile_ms(50):.1f} ms, p99"
        f" {outcome.percentile_ms(99):.1f} ms, max {max(outcome.took_s) * 1000:.0f} ms, {errors} errors of"
        f" {len(outcome.took_s)}, `serve` used {share:.0%} of a core, memory {before / 1e6:.0f} MB {grown_mb:+.1f} MB"
    )


def measure_ratio(api: Serving, count: int, runs: int) -> None:
    body = api.client.get(PAGE).content
    with bare_route(body) as (bare_url, bare_pid):
        sides = {"serve": (api.base_url, PAGE, api.process.pid), "bare": (bare_url, LIST, bare_pid)}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        costs: dict[str, list[float]] = {name: [] for name in sides}
        for run in range(runs + 1):
            for name, (base_url, target, pid) in sides.items():
                started, busy = time.perf_counter(), processor_s(pid)
                outcome = asyncio.run(closed_loop(base_url, target, count))
                assert outcome.statuses == {200: count}, outcome.statuses
                if run:  # the first warms up
                    rates[name].append(count / (time.perf_counter() - started))
                    costs[name].append((processor_s(pid) - busy) / count * 1000)
    middle: Callable[[list[float]], float] = statistics.median
    for name in sides:
        print(f"{name:<6} {middle(rates[name]):6.0f} answers/s, {middle(costs[name]):.2f} ms of processor each")
    print(
        f"ratio to a bare route of {len(body)} bytes: {middle(rates['serve']) / middle(rates['bare']):.2f} of its answers/s,"
        f" {middle(costs['serve']) / middle(costs['bare']):.2f} x its processor time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("rate", 200), ("seconds", 30), ("invoices", 24_000), ("count", 2000), ("runs", 5)):
        parser.add_argument(f"--{option}", type=int, default=default)
    arguments = parser.parse_args()
    size = Size(operators=10, months=24, invoices=max(1, arguments.invoices // 240), lines=20, services=1000)
    with with_results(size) as api:
        measure_rate(api, size, arguments.rate, arguments.seconds)
        measure_ratio(api, arguments.count, arguments.runs)


if __name__ == "__main__":
    main()
