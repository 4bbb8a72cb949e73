"""One step ahead: the next element of an iterator is made on a thread while the caller works on this one.

Worth it where both sides leave the interpreter for long: Arrow parses and compresses, and sockets wait, without its lock.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Element = TypeVar("Element")
_END = object()


def ahead(elements: Iterator[Element]) -> Iterator[Element]:
    """The same elements in order; at most one waits. An error comes where its element would have."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as executor:
        coming = executor.submit(next, elements, _END)
        while (element := coming.result()) is not _END:
            coming = executor.submit(next, elements, _END)
            yield element  # type: ignore[misc]  # anything but the end is an element
