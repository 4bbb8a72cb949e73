"""A rebill of the world's customers that kills itself with SIGKILL at the n-th boundary: run as a program by test_crashes.py."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from billing_pipeline_tests.rebilling.world import Boundaries, World, plans

if __name__ == "__main__":
    folder, url, base_url, fatal = sys.argv[1:]
    world = World(Path(folder), url, base_url, None, None)  # type: ignore[arg-type]
    world.run(plans(), boundaries=Boundaries(int(fatal), lambda: os.kill(os.getpid(), signal.SIGKILL)))
