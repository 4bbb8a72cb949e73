"""`db`: our database's schema and server."""

from pathlib import Path

from billing_pipeline.config import load_config
from billing_pipeline.storage import embedded
from billing_pipeline.storage.migrate import upgrade as migrate
from billing_pipeline.storage.servers import connect_databases


def upgrade(path: Path) -> int:
    """Create or migrate the output schema."""
    applied = migrate(connect_databases(load_config(path)).billing)
    print(f"applied {', '.join(applied)}" if applied else "the schema is up to date")
    return 0


def url(path: Path) -> int:
    """Print the connection URL; the one place where a password may show."""
    print(connect_databases(load_config(path)).billing)
    return 0


def stop(path: Path) -> int:
    """Stop the embedded server."""
    stopped = embedded.stop(load_config(path).storage.data_dir)
    print("stopped" if stopped else "the embedded server is not running")
    return 0
