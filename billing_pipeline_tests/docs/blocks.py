"""The fenced blocks of README.md and docker/*.md: what a reader copies. Says which are run; running them is the tests'."""

import re
from dataclasses import dataclass
from pathlib import Path

import billing_pipeline

ROOT = Path(billing_pipeline.__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docker").glob("*.md")))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# First line of a block → why it is not run as it stands. A test keeps this list in step with the documents.
NOT_RUN = {
    "git clone <this repository> billing_pipeline && cd billing_pipeline": (
        "the reader's own clone; `make demo` is what .ci/run's `make test` starts from, and pipeline/test_demo.py"
    ),
    'KEY="${BILLING_API_KEYS%%,*}"; API=http://127.0.0.1:8190/v1/billing': (
        "needs the server of the block before it beside it; api/test_readme.py asks one these very commands"
    ),
    "docker compose -f docker/compose.yaml --env-file billing.env up -d": (
        "needs a container engine; deployment/test_compose.py runs the commands of its services"
    ),
    "helm repo add dagster https://dagster-io.github.io/helm": "needs a cluster and the network",
}


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is where its content starts in `document`."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def first_line(self) -> str:
        return self.text.splitlines()[0].strip() if self.text.strip() else ""

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line} {self.language}"


def blocks(document: Path) -> list[Block]:
    """All fenced blocks of a document, in its order."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, found.start()) + 2, found[1], found[2]) for found in _FENCE.finditer(text)
    ]


ALL = [block for document in DOCUMENTS for block in blocks(document)]


def of(*languages: str) -> list[Block]:
    """The blocks in these languages that are run."""
    return [block for block in ALL if block.language in languages and block.first_line not in NOT_RUN]
