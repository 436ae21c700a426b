"""A model's identity, where it is served, and the limits of its requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from finehard.errors import UsageError


@dataclass(frozen=True)
class ModelConfig:
    """A model and where it is served."""

    model: str = ""
    revision: str | None = None
    endpoints: tuple[str, ...] = ()
    """Base URLs ending in /v1; empty if `server` starts one."""
    api_key_env: str | None = None
    """Environment variable with the API key; the key itself is never written anywhere."""
    window: int = 64
    """Requests in flight per endpoint and process."""
    timeout_s: float = 120.0
    """Timeout of one request."""
    attempts: int = 6
    """Attempts of a request before its sample is rejected."""
    outage_s: float = 300.0
    """Seconds without any success after which the build stops instead of rejecting everything."""
    temperature: float = 0.0
    seed: int = 0
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Added to the body of every request, for an engine's own options."""

    def __post_init__(self) -> None:
        """Validates all values. Raises `UsageError`."""
        for name, least in (("window", 1), ("attempts", 1), ("timeout_s", 0.001),
                            ("outage_s", 0), ("temperature", 0)):  # fmt: skip
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise UsageError(
                    f"models: {name} of model {self.model!r} must be a number of at least {least}, "
                    f"not {value}"
                )
        for url in self.endpoints:
            if not re.fullmatch(r"https?://[^\s@/]+(/[^\s@]*)?", url):
                raise UsageError(
                    f"models: endpoint {url.rpartition('@')[2]!r} of model {self.model!r} is not "
                    "http(s)://HOST:PORT/v1 (keys and passwords belong in the environment "
                    "variable named by api_key_env)"
                )

    def identity(self) -> dict[str, Any]:
        """Returns the settings that change the answers; they are part of fingerprints."""
        return {
            "model": self.model,
            "revision": self.revision,
            "temperature": self.temperature,
            "seed": self.seed,
            "extra_body": self.extra_body,
        }
