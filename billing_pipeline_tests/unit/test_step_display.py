"""The display of steps, on a real pseudo-terminal and through a pipe."""

import os
import pty
import subprocess
import sys

PROGRAM = """
from billing_pipeline.commands.step_display import step_display
with step_display(3) as starting:
    starting("SFR 2024-03 collect")
    print("a line of the command's own", flush=True)
    starting("SFR 2024-03 reconcile")
    starting("marts")
    starting("one nobody had counted")
print("the end")
"""


def test_a_terminal_shows_which_step_is_at_work_and_keeps_the_commands_lines() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=theirs, stderr=theirs, env=environment) as program:
        os.close(theirs)
        said = b""
        while piece := _read(ours):
            said += piece
    os.close(ours)
    assert program.returncode == 0, said
    text = said.decode()
    assert "a line of the command's own\r\n" in text
    assert "one nobody had counted" in text
    assert "3/4" in text
    assert text.rstrip().endswith("the end")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux says so once the other side is closed
        return b""


def test_a_pipe_gets_the_commands_lines_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("a line of the command's own\nthe end\n", "")
