"""Nobody reads without a key, nobody learns a key, and guessing costs the guesser time."""

import socket
import time
from pathlib import Path

import httpx
import pytest

from billing_pipeline.api.access import FAILURES, MAX_ADDRESSES, WINDOW_S, Access, FailedAttempts
from billing_pipeline.api.answers import Refusal
from billing_pipeline_tests.api.serving import (
    KEY,
    LIST,
    OTHER_KEY,
    RECONCILIATION,
    Serving,
    eventually,
    refused,
    serving,
)
from billing_pipeline_tests.pipeline.program import cold

WRONG = [
    {}, {"Authorization": "Bearer"}, {"Authorization": "bearer"}, {"Authorization": f"Basic {KEY}"},
    {"Authorization": KEY}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Bearer {KEY[:-1]}"},
    {"Authorization": f"Bearer {KEY},{OTHER_KEY}"}, {"Authorization": "Bearer é".encode()}, {"X-API-Key": KEY},
]  # fmt: skip


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def bearer(key: str) -> list[bytes]:
    return [f"Bearer {key}".encode()]


def status_of(access: Access, key: str, address: str = "192.0.2.1") -> int:
    try:
        access.check(bearer(key), address)
    except Refusal as refusal:
        return refusal.status
    return 200


def test_each_of_the_keys_opens_and_nothing_else_does(results_url: str, folder: Path) -> None:
    with serving(folder, results_url, keys=f" {KEY} ,, {OTHER_KEY},") as api:
        for number, headers in enumerate(WRONG):
            answer = httpx.get(api.base_url + LIST, headers=headers, trust_env=False)
            expected = 401 if number < FAILURES else 429
            assert answer.status_code == expected, headers
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"] == "unauthorized"
        assert api.get(LIST).status_code == 429, "the tenth failure is the last that is answered"
        assert int(api.get(LIST).headers["retry-after"]) <= WINDOW_S
    with serving(folder, results_url, keys=f" {KEY} ,, {OTHER_KEY},") as api:
        for key in (KEY, OTHER_KEY):
            for scheme in ("Bearer", "bearer", "BEARER"):
                headers = {"Authorization": f"{scheme} {key}"}
                assert httpx.get(api.base_url + LIST, headers=headers, trust_env=False).status_code == 200
        twice = [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {OTHER_KEY}")]
        assert httpx.get(api.base_url + LIST, headers=twice, trust_env=False).status_code == 401


@pytest.mark.parametrize("path", [LIST, f"{LIST}/x", RECONCILIATION, "/", "/docs/", "//docs", "/v1/../docs", "/nope"])
def test_what_exists_is_not_told_to_strangers(results_api: Serving, path: str) -> None:
    with socket.create_connection(("127.0.0.1", int(results_api.base_url.rpartition(":")[2]))) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(100).startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 429 "))


def test_an_address_that_keeps_failing_waits_and_others_do_not() -> None:
    clock = Clock()
    access = Access([KEY], FailedAttempts(clock))
    assert [status_of(access, "guess") for _ in range(FAILURES)] == [401] * FAILURES
    assert status_of(access, "guess") == 429
    assert status_of(access, KEY) == 429, "a guess that hits would otherwise be told"
    assert status_of(access, KEY, "192.0.2.2") == 200
    clock.now += WINDOW_S
    assert status_of(access, KEY) == 200
    assert [status_of(access, "guess") for _ in range(FAILURES + 1)] == [401] * FAILURES + [429]


def test_the_wait_told_is_long_enough() -> None:
    clock = Clock()
    attempts = FailedAttempts(clock)
    for _ in range(FAILURES):
        attempts.note("192.0.2.1")
        clock.now += 0.3
    wait_s = attempts.wait_s("192.0.2.1")
    assert 0 < wait_s <= WINDOW_S
    clock.now += wait_s
    assert attempts.wait_s("192.0.2.1") == 0


def test_failures_long_ago_do_not_add_up() -> None:
    clock = Clock()
    access = Access([KEY], FailedAttempts(clock))
    for _ in range(5 * FAILURES):
        assert status_of(access, "typo") == 401
        clock.now += WINDOW_S / (FAILURES - 1)


def test_one_ipv6_network_is_one_guesser() -> None:
    access = Access([KEY])
    codes = [status_of(access, "guess", f"2001:db8:0:1::{number:x}") for number in range(FAILURES + 1)]
    assert codes[-1] == 429
    assert status_of(access, "guess", "2001:db8:0:2::1") == 401


def test_ipv4_addresses_on_a_socket_for_both_are_not_one_guesser() -> None:
    access = Access([KEY])
    for _ in range(FAILURES):
        assert status_of(access, "guess", "::ffff:192.0.2.1") == 401
    assert status_of(access, KEY, "::ffff:192.0.2.1") == 429
    assert status_of(access, KEY, "::ffff:192.0.2.2") == 200


def test_a_flood_of_addresses_does_not_fill_the_memory() -> None:
    attempts = FailedAttempts()
    for number in range(2 * MAX_ADDRESSES):
        attempts.note(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts) == MAX_ADDRESSES


def test_a_right_key_takes_as_long_as_a_wrong_one_and_no_comparison_is_skipped() -> None:
    """Processor time of matching the first, the last and none of many keys: medians within a fifth of each other."""
    keys = [f"key-{number:060d}" for number in range(200)]
    access = Access(keys)

    def median_s(key: str) -> float:
        took = []
        for _ in range(301):
            started = time.process_time_ns()
            access._is_known(f"Bearer {key}".encode())
            took.append(time.process_time_ns() - started)
        return sorted(took)[150]

    for _ in range(5):
        first, last, none = median_s(keys[0]), median_s(keys[-1]), median_s("x" * 64)
        if max(first, last, none) < 1.2 * min(first, last, none):
            return
    raise AssertionError((first, last, none))


def test_no_key_and_no_query_is_ever_written_down(results_url: str, folder: Path) -> None:
    with serving(folder, results_url, "--debug") as api:
        api.get(LIST, period="2022-01")
        api.get(LIST, api_key="query-canary-55")
        httpx.get(
            f"{api.base_url}{LIST}?key={KEY}", headers={"Authorization": "Bearer wrong-canary-66"}, trust_env=False
        )
        api.get(f"{LIST}/line%0Abreak%1B[2J", operatorCode="OP01")
        # A request is written down once it is answered.
        assert eventually(lambda: len(api.log.splitlines()) == 4)
        log = api.log
    for secret in (KEY, OTHER_KEY, "query-canary-55", "wrong-canary-66", "period=", "\x1b"):
        assert secret not in log
    lines = log.splitlines()
    assert [line.split(" ", 2)[2].rsplit(" ", 2)[0] for line in lines] == [
        f"127.0.0.1 GET {LIST} 200", f"127.0.0.1 GET {LIST} 400", f"127.0.0.1 GET {LIST} 401",
        f"127.0.0.1 GET {LIST}/line�break�[2J 404",
    ]  # fmt: skip


def test_it_does_not_start_without_keys(folder: Path, results_url: str) -> None:
    for keys in ({}, {"BILLING_API_KEYS": ""}, {"BILLING_API_KEYS": " , "}):
        ended = refused(folder, BILLING_POSTGRES_URL=results_url, **keys)
        assert ended.returncode == 2
        assert ended.stderr.startswith("billing-pipeline: environment variable BILLING_API_KEYS is not set; ")
        assert "--insecure" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.invalid"])
def test_it_does_not_serve_the_network_without_keys(folder: Path, results_url: str, host: str) -> None:
    ended = refused(folder, "--insecure", "--host", host, BILLING_POSTGRES_URL=results_url)
    assert ended.returncode == 2
    assert host in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(folder: Path, results_url: str) -> None:
    ended = refused(folder, BILLING_POSTGRES_URL=results_url, BILLING_API_KEYS="good-key,clé-secrète")
    assert ended.returncode == 2
    assert "key 2 of 2" in ended.stderr
    assert "secr" not in ended.stderr


def test_without_keys_a_web_page_cannot_read_through_a_name_of_its_own(folder: Path, results_url: str) -> None:
    with serving(folder, results_url, "--insecure", keys="") as api:
        assert httpx.get(api.base_url + LIST, trust_env=False).status_code == 200
        port = api.base_url.rpartition(":")[2]
        for host in ("localhost", f"localhost:{port}", "127.0.0.1"):
            assert httpx.get(api.base_url + LIST, headers={"Host": host}, trust_env=False).status_code == 200
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
            answer = httpx.get(api.base_url + LIST, headers={"Host": host}, trust_env=False)
            assert answer.status_code == 421, host


def test_insecure_does_not_open_what_has_keys(folder: Path, results_url: str) -> None:
    with serving(folder, results_url, "--insecure") as api:
        assert httpx.get(api.base_url + LIST, trust_env=False).status_code == 401
        assert api.get(LIST).status_code == 200


def test_who_says_he_comes_from_elsewhere_is_not_believed(folder: Path, results_url: str) -> None:
    with serving(folder, results_url) as api:
        codes = [
            httpx.get(api.base_url + LIST, headers={"X-Forwarded-For": f"10.0.0.{number}"}, trust_env=False).status_code
            for number in range(FAILURES + 1)
        ]
    assert codes == [401] * FAILURES + [429]


def test_behind_a_named_proxy_one_stranger_does_not_lock_out_the_others(folder: Path, results_url: str) -> None:
    with serving(folder, results_url, FORWARDED_ALLOW_IPS="127.0.0.1") as api:
        stranger, customer = ({"X-Forwarded-For": f"10.0.0.{number}"} for number in (1, 2))
        codes = [
            httpx.get(api.base_url + LIST, headers=stranger, trust_env=False).status_code for _ in range(FAILURES + 1)
        ]
        assert codes[-1] == 429
        assert api.client.get(LIST, headers=customer).status_code == 200


def test_check_config_names_the_variable(folder: Path) -> None:
    ended = cold("check-config", folder=folder, extra={"HOME": str(folder)})
    assert "missing: environment variable BILLING_API_KEYS is not set; only serve needs it" in ended.out
    ended = cold("check-config", folder=folder, extra={"HOME": str(folder), "BILLING_API_KEYS": "k"})
    assert "BILLING_API_KEYS" not in ended.out
