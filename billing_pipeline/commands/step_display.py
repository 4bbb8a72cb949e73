"""What a person sees while steps run: on a terminal which step is at work and how many are done, elsewhere nothing.

The lines a command prints are its own; on a terminal they appear above the display, which leaves no trace.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Starting = Callable[[str], None]


@contextmanager
def step_display(total: int) -> Iterator[Starting]:
    """Yields what is to be called with each step's name as it starts; the one before it is then counted as done."""
    if not sys.stdout.isatty():
        yield lambda name: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True) as display:
        task, started = display.add_task("starting", total=total), 0

        def starting(name: str) -> None:
            nonlocal started
            # `total` is an estimate where a step finds further ones.
            display.update(task, description=name, completed=started, total=max(total, started + 1))
            started += 1

        yield starting
