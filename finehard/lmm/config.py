"""A model's identity, where it is served, and the limits of its requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from finehard.errors import UsageError
from finehard.fleet import endpoints


@dataclass(frozen=True)
class ModelConfig:
    """A model and where it is served."""

    model: str = ""
    """Its name at the server; empty if `server` starts one."""
    revision: str | None = None
    """Part of what answers are saved under; change it when the weights behind the name change."""
    endpoints: tuple[str, ...] = ()
    """Base URLs ending in /v1; empty if `server` starts one. Or one entry that lists them and is
    read again while the build runs: file:PATH (a URL a line) or dns+http://NAME:PORT/v1 (an
    endpoint for each address of NAME)."""
    api_key_env: str | None = None
    """Environment variable with the API key; the key itself is never written anywhere."""
    window: int = 64
    """The most requests in flight per endpoint and process; see `finehard.fleet.window`."""
    timeout_s: float = 120.0
    """Timeout of one request."""
    attempts: int = 6
    """Attempts of a request before its sample is rejected; lost connections do not count."""
    outage_s: float = 300.0
    """Seconds without any success after which the build stops instead of rejecting everything;
    a request whose connections break for a tenth of that, while others are answered, fails."""
    temperature: float = 0.0
    """Sent with every request."""
    seed: int = 0
    """Sent with every request."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Added to the body of every request, for an engine's own options; null leaves a field out."""
    response_format: Literal[
        "auto", "json_schema", "plain_schema", "object_schema", "json_object", "none"
    ] = "auto"
    """How the server is told the form of a reply. "auto": with the JSON Schema, or as much of it
    as the server accepts. "plain_schema" leaves out additionalProperties. With "object_schema"
    (json_object with a schema beside it, for llama-cpp-python), "json_object" and "none" the schema
    stands in the prompt too."""
    logprobs: int = 20
    """The most alternatives asked for each token of a verification; fewer, or none, where the
    server allows no more. 0: never ask."""
    token_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """The name of the field with the most tokens of a reply."""
    drop: tuple[str, ...] = ()
    """Fields left out of every request, such as seed."""
    answers_as: tuple[str, ...] = ()
    """Other names under which the server may answer for the model."""
    regions_per_request: int | None = None
    """The most regions, and so images, in one request. None: found by asking."""
    trust_env: bool = False
    """Whether to use the proxy that HTTPS_PROXY or HTTP_PROXY names."""

    def __post_init__(self) -> None:
        """Validates all values. Raises `UsageError`."""
        for name, least in (("window", 1), ("attempts", 1), ("timeout_s", 0.001),
                            ("outage_s", 0), ("temperature", 0), ("logprobs", 0),
                            ("regions_per_request", 1)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise UsageError(
                    f"models: {name} of model {self.model!r} must be a number of at least {least}, "
                    f"not {value}"
                )
        if problem := endpoints.fault(self.endpoints):
            raise UsageError(f"models: model {self.model!r}: {problem}")

    def identity(self) -> dict[str, Any]:
        """Returns the settings that change the answers; they are part of fingerprints."""
        return {
            "model": self.model,
            "revision": self.revision,
            "temperature": self.temperature,
            "seed": self.seed,
            "extra_body": self.extra_body,
        }

    def serves(self, name: str) -> bool:
        """Returns whether a server that calls its model `name` serves this one: by the same name
        but for folders, a revision (NAME@REVISION), a tag (NAME:latest, NAME:free) or a dated
        release (NAME-2025-04-14 for NAME or NAME-latest), or by one of `answers_as`."""
        if name in self.answers_as:
            return True
        own, other = _plain_name(self.model), _plain_name(name)
        if other in (own, own.partition(":")[0]):
            return True
        own = own.removesuffix("-latest")
        return other.startswith(own) and _is_release(other[len(own) :])


NEWER = {
    f.name: f.default
    for f in fields(ModelConfig)
    if f.name
    in (
        "response_format",
        "logprobs",
        "token_field",
        "drop",
        "answers_as",
        "regions_per_request",
        "trust_env",
    )  # fmt: skip
}
"""Settings that came after the first manifests, which do not have them, and their defaults."""


def _is_release(suffix: str) -> bool:
    return re.fullmatch(r"[-_:]v?[0-9]{3,8}([-._][0-9]+)*", suffix) is not None


def _plain_name(name: str) -> str:
    name = name.rstrip("/").split("@")[0].rpartition("/")[2].lower()
    return name.removesuffix(":latest").removesuffix(".gguf")
