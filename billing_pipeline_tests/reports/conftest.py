"""The books and marts of marts/, for these tests too."""

from billing_pipeline_tests.marts.conftest import made, new_office, open_workspace, server

__all__ = ["made", "new_office", "open_workspace", "server"]
