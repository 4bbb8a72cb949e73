"""What a test needs and not every machine has: without it the test is skipped and says so, or fails where it must run.

`BILLING_TEST_REQUIRE=browser,spark` names what must be there; CI sets it, so that a skip there is a failure.
"""

import os
import re

import pytest

REQUIRE = "BILLING_TEST_REQUIRE"


def needed(name: str, present: object, otherwise: str) -> None:
    """Skip the test unless `present`; where `name` is required, fail it. `otherwise` says what is absent."""
    if present:
        return
    if name in re.split(r"[,\s]+", os.environ.get(REQUIRE, "")):
        pytest.fail(f"{otherwise}; {REQUIRE} demands {name}", pytrace=False)
    pytest.skip(otherwise)
