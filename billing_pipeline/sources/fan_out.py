"""The same work for many items at once, in threads. The first failure ends it: nobody waits for the rest."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def fan_out(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> list[Result]:
    """The results in the order of the items; the error of the earliest item that failed, the unstarted ones dropped."""
    threads = ThreadPoolExecutor(workers, thread_name_prefix="collecting")
    try:
        futures = [threads.submit(work, item) for item in items]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future.done() and future.exception() is not None:
                future.result()
        return [future.result() for future in futures]
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
