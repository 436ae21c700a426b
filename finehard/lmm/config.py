"""Which model is asked, where it is served, and how hard it may be pressed."""

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
    """Base URLs ending in /v1; empty when `server` starts one."""
    api_key_env: str | None = None
    """Environment variable that holds the API key; the key itself is never written anywhere."""
    window: int = 64
    """Requests in flight per endpoint and process."""
    timeout_s: float = 120.0
    """Longest wait for one reply."""
    attempts: int = 6
    """Tries of a request before its sample is rejected."""
    outage_s: float = 300.0
    """Without any success for so long, the build stops instead of rejecting everything."""
    temperature: float = 0.0
    seed: int = 0
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Added to every request, for what an engine wants beyond the protocol."""

    def __post_init__(self) -> None:
        """Checks every value. Raises `UsageError`."""
        for name, least in (("window", 1), ("attempts", 1), ("timeout_s", 0.001),
                            ("outage_s", 0), ("temperature", 0)):  # fmt: skip
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise UsageError(f"models.*.{name}: {value} is not a number from {least} up")
        for url in self.endpoints:
            if not re.fullmatch(r"https?://[^\s@/]+(/[^\s@]*)?", url):
                raise UsageError(
                    f"models.*.endpoints: {url.rpartition('@')[2]!r} is not http(s)://HOST:PORT/v1 "
                    "(keys and passwords belong in the variable that api_key_env names)"
                )

    def identity(self) -> dict[str, Any]:
        """What of this changes the answers: goes into fingerprints."""
        return {
            "model": self.model,
            "revision": self.revision,
            "temperature": self.temperature,
            "seed": self.seed,
            "extra_body": self.extra_body,
        }
