"""How long collecting takes beside the least it can take: a bare asyncio loop that fetches the same URLs.

    python -m billing_pipeline_tests.bench.bench_collecting [--invoices 200] [--lines 500] [--reports 50] [--runs 5]

The server is a process of its own: its bodies are made before the first run, it waits 20 ms before each answer, and its
share of the CPU is printed, since a busy server would hide the client's cost. Both sides ask for the same URLs at the
same concurrency, the token's among them. The bare loop is given all of them beforehand; ours has to wait for the token
and the lists to know them, pages, checks, hashes and keeps every document durably. Runs alternate; medians count, and
the median of the ratios of neighbouring runs, which a machine that is busy with other things disturbs least.
"""

import argparse
import asyncio
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil

from billing_pipeline.config import HttpSettings, NetwoSource, OrangeSource, Profile
from billing_pipeline.periods import Period
from billing_pipeline.r189.naming import period_in_name
from billing_pipeline.schemas.r189 import R189_COLUMNS
from billing_pipeline.sources.authorization import Credentials
from billing_pipeline.sources.netwo import PER_PAGE, Netwo
from billing_pipeline.sources.orange_b2b import OrangeB2B
from billing_pipeline.sources.orange_offer import FileNaming
from billing_pipeline.steps.collect import keep
from billing_pipeline.steps.file_periods import period_by_rows, stem_order
from billing_pipeline.storage.raw import RawStore
from billing_pipeline.storage.raw_batch import raw_batch

LATENCY_S = 0.020
MARCH = Period(2024, 3)
ROWS_PER_REPORT = 500


class Server:
    """HTTP/1.1 with keep-alive over asyncio streams, and nothing else: the less it works, the more we measure ourselves."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
                if method == b"POST":
                    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                    await reader.readexactly(int(length.split(b":")[1]))
                await asyncio.sleep(LATENCY_S)
                accept = b"pdf" if b"application/pdf" in head else b""
                key = target.decode() + (" pdf" if accept else "")
                writer.write(self.answers.get(key) or _http(404, b"{}", "application/json"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _http(status: int, body: bytes, media_type: str, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _json(content: Any, **headers: str) -> bytes:
    return _http(200, json.dumps(content).encode(), "application/json", **headers)


def hub_answers(invoices: int, lines: int) -> dict[str, bytes]:
    names = [f"INV-SFR-2024-03-{number:04d}" for number in range(invoices)]
    operator = {"code": "SFR", "name": "SFR"}
    entries = [
        {
            "invoiceId": name, "operator": operator, "period": "2024-03", "totalHT": 12450.00, "totalTTC": 14940.00,
            "currency": "EUR", "lineCount": lines, "receivedAt": "2024-04-05T00:00:00Z",
        }
        for name in names
    ]  # fmt: skip
    found = {}
    for page in range(1, -(-invoices // PER_PAGE) + 1):
        shown = entries[(page - 1) * PER_PAGE : page * PER_PAGE]
        pagination = {"page": page, "perPage": PER_PAGE, "total": invoices}
        url = f"/v1/billing/invoices?period=2024-03&operatorCode=SFR&page={page}&perPage={PER_PAGE}"
        found[url] = _json({"invoices": shown, "pagination": pagination})
    for name in names:
        rows = [
            {
                "lineId": f"LN-{number:05d}", "serviceId": f"SVC-2024-{number:05d}", "quantity": 1, "unitPriceHT": 24.90,
                "description": "Accès FTTH activé 1Gbps - IMB/33063/C/025A", "totalHT": 24.90,
            }
            for number in range(lines)
        ]  # fmt: skip
        detail = {"invoiceId": name, "operator": operator, "period": "2024-03", "lines": rows, "totalHT": 12450.00}
        found[f"/v1/billing/invoices/{name}"] = _json(detail)
    url = "/v1/billing/reconciliation?period=2024-03&operatorCode=SFR"
    found[url] = _json({"period": "2024-03", "summary": {"totalServices": 0}, "items": []})
    return found


def orange_answers(reports: int) -> dict[str, bytes]:
    base = "/billing/b2b/v1"
    header = ";".join(column.header for column in R189_COLUMNS)
    row = ";".join("2024-03" if column.header == "Charge Month" else "R189 12.50" for column in R189_COLUMNS)
    names = [f"R189-Charges+9300856-202403-part{number:03d}.csv" for number in range(reports)]
    found = {"/oauth/v3/token": _json({"access_token": "bench", "expires_in": "3600"})}
    entries = []
    for name in names:
        body = "\r\n".join([header, *[f"{row};{name}"] * ROWS_PER_REPORT]).encode()
        entries.append({"id": name, "type": "R189-Charges", "period": "2024-03", "bytes": len(body)})
        found[f"{base}/reports/{name.replace('+', '%2B')}"] = _http(200, body, "text/csv")
    for offset in range(0, reports, 100):
        shown = entries[offset : offset + 100]
        url = f"{base}/reports?sort=id&offset={offset}&limit=100"
        found[url] = _json(shown, X_Total_Count=str(reports), X_Result_Count=str(len(shown)))
    found[f"{base}/bills?sort=id&offset=0&limit=100"] = _json([], X_Total_Count="0", X_Result_Count="0")
    found[f"{base}/snapshots?groupBy=type"] = _json({})
    return found


def serve(arguments: argparse.Namespace, pipe: Connection) -> None:
    answers = {**hub_answers(arguments.invoices, arguments.lines), **orange_answers(arguments.reports)}

    async def main() -> None:
        listening = await asyncio.start_server(Server(answers).handle, "127.0.0.1", 0)
        pipe.send((listening.sockets[0].getsockname()[1], sorted(answers)))
        async with listening:
            await listening.serve_forever()

    asyncio.run(main())


def bare(urls: list[str], concurrency: int) -> None:
    """Every URL once, its whole body read, at most `concurrency` at a time."""

    async def main() -> None:
        waiting = list(reversed(urls))
        limits = httpx.Limits(max_connections=concurrency)
        async with httpx.AsyncClient(limits=limits, headers={"Accept-Encoding": "identity"}) as client:

            async def worker() -> None:
                while waiting:
                    response = await client.get(waiting.pop())
                    assert response.status_code == 200, response.url
                    assert response.content

            await asyncio.gather(*(worker() for _ in range(concurrency)))

    asyncio.run(main())


def collect_hub(base_url: str, settings: HttpSettings, folder: Path, expected: int) -> None:
    source = NetwoSource(type="netwo", base_url=base_url, api_key_env="KEY", http=settings)
    with (
        closing(Netwo(source, operator_code="SFR", key="bench")) as netwo,
        raw_batch(RawStore(folder), "SFR", str(MARCH)) as batch,
    ):
        collection = netwo.collect(MARCH, partial(keep, batch))
    assert not collection.gaps, collection.gaps[:3]
    assert collection.collected["invoices"] == expected


def collect_orange(base_url: str, settings: HttpSettings, folder: Path, expected: int) -> None:
    source = OrangeSource(
        type="orange_b2b", base_url=f"{base_url}/billing/b2b/v1", token_url=f"{base_url}/oauth/v3/token",
        client_id_env="A", client_secret_env="B", api_key_env="C", http=settings,
    )  # fmt: skip
    naming = FileNaming(period_in_name, partial(period_by_rows, profile=Profile()), stem_order)
    orange = OrangeB2B(source, credentials=Credentials("a", "b", "c", "A", "B", "C"), naming=naming)
    with closing(orange), raw_batch(RawStore(folder), "ORANGE", str(MARCH)) as batch:
        collection = orange.collect(MARCH, partial(keep, batch))
    assert not collection.gaps, collection.gaps[:3]
    assert collection.collected["reports"] == expected


def measure(name: str, ours: Callable[[Path], None], theirs: Callable[[], None], runs: int, server: int) -> None:
    """Alternating runs; prints the medians, their ratio and the server's share of one CPU."""
    process = psutil.Process(server)
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    busy, started_all = sum(process.cpu_times()[:2]), time.perf_counter()
    for _ in range(runs):
        for side, work in (("bare", lambda _: theirs()), ("ours", ours)):
            folder = Path(tempfile.mkdtemp(prefix="bench-collecting-"))
            started = time.perf_counter()
            work(folder)
            seconds[side].append(time.perf_counter() - started)
            shutil.rmtree(folder)
    share = (sum(process.cpu_times()[:2]) - busy) / (time.perf_counter() - started_all)
    ours_s, bare_s = statistics.median(seconds["ours"]), statistics.median(seconds["bare"])
    print(
        f"{name:<24} ours {ours_s:6.3f} s   bare {bare_s:6.3f} s   ratio {ours_s / bare_s:5.2f}   server {share:4.0%}"
    )
    paired = statistics.median(ours / bare for ours, bare in zip(seconds["ours"], seconds["bare"], strict=True))
    print(f"{'':<24} ours {_spread(seconds['ours'])}   bare {_spread(seconds['bare'])}   paired ratio {paired:5.2f}")


def _spread(seconds: list[float]) -> str:
    return f"{min(seconds):.3f}–{max(seconds):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("invoices", 200), ("lines", 500), ("reports", 50), ("runs", 5), ("concurrency", 8)):
        parser.add_argument(f"--{option}", type=int, default=default)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(arguments, there), daemon=True)
    server.start()
    try:
        port, targets = here.recv()
        base_url = f"http://127.0.0.1:{port}"
        settings = HttpSettings(concurrency=arguments.concurrency)
        hub_urls = [base_url + target for target in targets if target.startswith("/v1/")]
        orange_urls = [base_url + target for target in targets if target.startswith(("/billing/", "/oauth/"))]
        assert server.pid is not None
        measure(
            f"hub, {arguments.invoices} invoices",
            lambda folder: collect_hub(base_url, settings, folder, arguments.invoices),
            lambda: bare(hub_urls, arguments.concurrency),
            arguments.runs,
            server.pid,
        )
        measure(
            f"orange, {arguments.reports} reports",
            lambda folder: collect_orange(base_url, settings, folder, arguments.reports),
            lambda: bare(orange_urls, arguments.concurrency),
            arguments.runs,
            server.pid,
        )
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
