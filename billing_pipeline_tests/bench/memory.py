"""How much memory a process has held at most. Measures nothing else."""

from pathlib import Path


def most_resident_bytes() -> int:
    """The peak of this program alone.

    Not getrusage's ru_maxrss: a process inherits that from the one that started it, so that a month of 10 million lines
    seemed to take what its writing had taken.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
