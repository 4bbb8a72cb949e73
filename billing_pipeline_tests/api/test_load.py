"""Many at once: every answer is right, none gets another's, and the memory stays. How fast is bench_serving.py's."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx

from billing_pipeline.storage.reading import SIZE
from billing_pipeline_tests.api.serving import KEY, LIST, RECONCILIATION, Serving, memory_bytes, serving

PERIODS = ("2022-01", "2022-02", "2022-03")
AT_ONCE = 5 * SIZE


async def ask(client: httpx.AsyncClient, number: int) -> tuple[str, bool]:
    """One of four kinds of questions; what was asked, and whether the answer is the answer to it."""
    code, period, invoice = f"OP0{number % 2 + 1}", PERIODS[number % 3], number % 7 + 1
    kind = ("list", "invoice", "items", "stream")[number % 4]
    if kind == "list":
        answer = (await client.get(LIST, params={"period": period, "operatorCode": code, "perPage": 7})).json()
        told = [entry["invoiceId"] for entry in answer["invoices"]]
        return kind, told == [f"INV-{code}-{period}-000{one}" for one in range(1, 8)]
    if kind == "invoice":
        answer = (await client.get(f"{LIST}/INV-{code}-{period}-000{invoice}")).json()
        return kind, (answer["operator"]["code"], answer["period"], len(answer["lines"])) == (code, period, 3)
    parameters = {"period": period, "operatorCode": code, **({"page": "2", "perPage": "4"} if kind == "items" else {})}
    answer = (await client.get(RECONCILIATION, params=parameters)).json()
    told = [(item["operatorCode"], item["serviceId"]) for item in answer["items"]]
    services = range(5, 9) if kind == "items" else range(1, 10)
    return kind, answer["period"] == period and told == [(code, f"SVC-{one:06d}") for one in services]


async def flood(api: Serving, count: int) -> Counter[tuple[str, bool]]:
    limits = httpx.Limits(max_connections=AT_ONCE)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=api.base_url, headers=headers, limits=limits, trust_env=False, timeout=60
    ) as client:
        waiting = iter(range(count))

        async def worker() -> list[tuple[str, bool]]:
            return [await ask(client, number) for number in waiting]

        found = await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return Counter(one for some in found for one in some)


def test_a_flood_of_readers_gets_right_answers_and_leaves_nothing_behind(results_url: str, folder: Path) -> None:
    with serving(folder, results_url) as api:
        asyncio.run(flood(api, 400))
        before = memory_bytes(api.process.pid)
        outcome = asyncio.run(flood(api, 1200))
        assert outcome == {(kind, True): 300 for kind in ("list", "invoice", "items", "stream")}
        assert memory_bytes(api.process.pid) - before < 10_000_000
        log = api.log
    assert " 503 " not in log
    assert json.dumps(log).count("unexpected") == 0
