"""Which detector the servers in `detect.endpoints` are, and whether it is the config's."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from finehard.detect.config import DetectConfig
from finehard.detect.exchange import Exchange, Failed
from finehard.detect.identity import detector_identity
from finehard.detect.service import SERVED, description
from finehard.errors import FinehardError
from finehard.fleet import endpoints
from finehard.fleet.loop import on_loop
from finehard.images import ImagesConfig

_log = logging.getLogger(__name__)


def served_identity(config: DetectConfig, images: ImagesConfig) -> dict[str, Any]:
    """Returns the identity of the detector at `config.endpoints`, all of which are asked; that of
    `detector_identity` where the weights are.

    Raises `FinehardError` if none answers, or if one is another detector than `config` names, has
    other code, or takes smaller images than `images` allows.
    """
    own = detector_identity(config)
    answers: dict[str, dict[str, Any] | Failed] = on_loop(_ask(config))
    told = {url: each for url, each in answers.items() if not isinstance(each, Failed)}
    for answer in answers.values():
        if isinstance(answer, Failed):
            line = f"no detector at {answer}" if answer.kind == "away" else str(answer)
            if not told or answer.kind == "stranger":
                raise FinehardError(
                    f"{line}; is the server running (finehard serve-detector), and is "
                    "detect.endpoints right?"
                )
            _log.warning("%s; the build begins without", line)
    first = next(iter(told.values()))["detector"]
    for url, each in told.items():
        if problem := _problem(each, own, first, images):
            raise FinehardError(f"detect.endpoints: {url} {problem}")
    return dict(first)


async def _ask(config: DetectConfig) -> dict[str, dict[str, Any] | Failed]:
    urls = await endpoints.first(config.endpoints, SERVED)
    exchange = Exchange(config.timeout_s)

    async def ask(url: str) -> dict[str, Any] | Failed:
        try:
            return await exchange.identity(url)
        except Failed as failed:
            return failed

    urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls))
    try:
        return dict(zip(urls, await asyncio.gather(*map(ask, urls)), strict=True))
    finally:
        await exchange.close()


def _problem(
    told: dict[str, Any], own: dict[str, Any], first: dict[str, Any], images: ImagesConfig
) -> str | None:
    """Returns what keeps a server that has `told` this from being the detector of identity `own`,
    as the `first` one is; None if nothing does."""
    identity = told["detector"]
    for key, value in own.items():
        served = identity.get(key)
        if key in ("model", "text_model") and f"{key}_sha256" not in own:
            # the weights are not here: the server's may be in a folder or file of this name
            value = Path(str(value)).name if f"{key}_sha256" in identity else value
        if served != value:
            return f"serves {key} {_short(served)}, not {_short(value)} (detect)"
    if identity != first:
        return "serves other weights than the endpoints before it"
    here = description(identity)
    for key, title in (("code", "finehard"), ("decoder", "decoder of images")):
        if told.get(key) != here[key]:
            return f"has another {title} ({_short(told.get(key))}, here {_short(here[key])})"
    for key in ("max_bytes", "max_pixels"):
        if told["limits"][key] < getattr(images, key):
            return (
                f"takes images with images.{key} up to {told['limits'][key]}, not "
                f"{getattr(images, key)}: start it with the build's config"
            )
    return None


def _short(value: Any) -> str:
    if isinstance(value, dict):  # a version, and a hash
        return " ".join(str(each)[:12] for each in value.values())
    return str(value)[:60] if isinstance(value, str) else repr(value)
