"""The simulated server of the pipelines' tests."""

from tests.pipelines.conftest import server

__all__ = ["server"]
