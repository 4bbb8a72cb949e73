"""The program and the server of pipeline/, for these tests too."""

from billing_pipeline_tests.pipeline.conftest import new_place, program, server

__all__ = ["new_place", "program", "server"]
