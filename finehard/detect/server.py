"""The detector's server: one detector a device, one queue, HTTP in front (`service`)."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from finehard.detect.batches import Batches
from finehard.detect.config import DetectConfig
from finehard.detect.detector import load_detector
from finehard.detect.identity import detector_identity
from finehard.detect.service import (
    DETECT,
    HEALTH,
    IDENTITY,
    RETRY_AFTER_S,
    description,
    description_digest,
)
from finehard.errors import FinehardError, error_line, typed_error_line
from finehard.images import ImageError, ImagesConfig, decode

BATCHES_WAITING = 8
"""Batches a device that may wait, before a client is turned away."""

_MORE = 1 << 20
"""Bytes of a request beside those of the image."""


class _Job(NamedTuple):
    """A request: the bytes of an image, what to find in it, and the side to reduce it to."""

    image: bytes
    phrases: list[str]
    max_side: int
    expected: str


class _Bad(Exception):
    """A request that cannot be answered; the text is the line that its sender gets."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class _Service:
    """The requests of one server."""

    def __init__(
        self, batches: Batches, identity: dict[str, Any], images: ImagesConfig, most: int
    ) -> None:
        self.stopping = False
        self.waiting = 0
        """Requests that are not answered yet, `most` of them at a time."""
        self._batches = batches
        self._images = images
        self._most = most
        self._title = f"{identity['backend']} {identity['model']}"
        self._digest = description_digest(identity)
        limits = {"max_bytes": images.max_bytes, "max_pixels": images.max_pixels, "waiting": most}
        self._told = {**description(identity), "digest": self._digest, "limits": limits}

    def app(self) -> web.Application:
        """Returns the application."""
        app = web.Application()
        app.router.add_get(IDENTITY, self._identity)
        app.router.add_get(HEALTH, self._health)
        app.router.add_post(DETECT, self._detect)
        return app

    async def _identity(self, request: web.Request) -> web.Response:
        return _json(200, self._told)

    async def _health(self, request: web.Request) -> web.Response:
        if self.stopping:
            return _error(503, "the server is stopping")
        return _json(200, {"status": "ok", "waiting": self.waiting})

    async def _detect(self, request: web.Request) -> web.Response:
        if self.stopping:
            return _error(503, "the server is stopping")
        if self.waiting >= self._most:
            after = {"Retry-After": str(RETRY_AFTER_S)}
            return _error(429, f"{self._most} requests are waiting", after)
        self.waiting += 1
        try:
            job = await _job(request, self._images.max_bytes)
            if job.expected and job.expected != self._digest:
                return _error(409, f"{self._title}: weights, code or decoder are other than wanted")
            return _json(200, {"boxes": await self._boxes(job)})
        except _Bad as bad:
            return _error(bad.status, str(bad))
        except FinehardError as error:
            return _error(500, error_line(error), ends=True)
        except Exception as error:  # a detector can fail on one image in any way
            return _error(422, typed_error_line(error))
        finally:
            self.waiting -= 1

    async def _boxes(self, job: _Job) -> list[Any]:
        limits = dataclasses.replace(self._images, min_side=1, max_side=job.max_side)
        try:
            decoded = await asyncio.to_thread(decode, job.image, limits)
        except ImageError as error:
            raise _Bad(422, f"{error.reason}: {error.detail}") from None
        detected = asyncio.wrap_future(self._batches.submit(decoded.pixels, job.phrases))
        # a sender that leaves must not cancel what a thread is about to answer
        return [[d.phrase, list(d.box), d.score] for d in await asyncio.shield(detected)]


async def _job(request: web.Request, max_bytes: int) -> _Job:
    """Reads a request. Raises `_Bad`."""
    fields = await _fields(request, max_bytes + _MORE)
    if not fields.get("image"):
        raise _Bad(400, "the field image is missing: the bytes of a file")
    try:
        phrases = orjson.loads(fields.get("phrases", b""))
    except ValueError:
        phrases = None
    texts = isinstance(phrases, list) and all(isinstance(p, str) and p.strip() for p in phrases)
    if not texts or not phrases:
        raise _Bad(400, "the field phrases is not a JSON list of texts")
    side = fields.get("max_side", b"").decode("ascii", "replace").strip()
    if not (side.isdecimal() and side.isascii() and int(side[:9]) > 0 and len(side) < 9):
        raise _Bad(400, "the field max_side is not a number of pixels")
    expected = fields.get("expected", b"").decode("ascii", "replace")
    return _Job(fields["image"], phrases, int(side), expected)


async def _fields(request: web.Request, most: int) -> dict[str, bytes]:
    """Returns the fields of a form of up to `most` bytes. Raises `_Bad`."""
    if request.content_type != "multipart/form-data":
        raise _Bad(415, f"the request is {request.content_type}, not multipart/form-data")
    fields: dict[str, bytes] = {}
    length = 0
    try:
        async for part in await request.multipart():
            data = bytearray()
            while chunk := await part.read_chunk(1 << 16):  # type: ignore[union-attr]
                data += chunk
                length += len(chunk)
                if length > most:
                    raise _Bad(413, f"the request has more than {most} bytes")
            fields[part.name or ""] = bytes(data)  # type: ignore[union-attr]
    except _Bad:
        raise
    except Exception as error:  # whatever aiohttp's parser makes of a malformed form
        raise _Bad(400, f"the form is malformed: {typed_error_line(error)}") from None
    return fields


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> web.Response:
    body = orjson.dumps(value)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _error(
    status: int, line: str, headers: dict[str, str] | None = None, ends: bool = False
) -> web.Response:
    """`ends` says that the detector itself is at fault, so that every image would fail."""
    return _json(status, {"error": line, **({"ends": True} if ends else {})}, headers)


def visible_devices(config: DetectConfig) -> list[str]:
    """Returns the configured device; for "auto" all GPUs that torch sees, or the CPU."""
    if config.device != "auto":
        return [config.device]
    try:
        import torch
    except ImportError:  # a detector of the user's own may do without
        return ["cpu"]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]


def serve_detector(
    config: DetectConfig, images: ImagesConfig, host: str, port: int, devices: Sequence[str]
) -> None:
    """Loads a detector on each of `devices`, prints its URL, and serves until SIGINT or SIGTERM.

    Then what has begun is finished. Raises `FinehardError` if the detector cannot be loaded or the
    address is not to be had.
    """
    identity = detector_identity(config)
    detectors = [load_detector(dataclasses.replace(config, device=each)) for each in devices]
    batches = Batches(detectors, config.batch_size)
    most = BATCHES_WAITING * config.batch_size * len(detectors)
    service = _Service(batches, identity, images, most)
    title = f"detector {config.backend} {identity['model']} on {', '.join(devices)}"
    asyncio.run(_serve(service, host, port, title))
    batches.close()


async def _serve(service: _Service, host: str, port: int, title: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(service.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        raise FinehardError(f"cannot listen on {host}, port {port}: {error_line(error)}") from None
    taken = runner.addresses[0][1]
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{taken}  {title}; stop with Ctrl-C", flush=True)
    await stop.wait()
    service.stopping = True
    while service.waiting:
        await asyncio.sleep(0.05)
    await runner.cleanup()
    print("stopped", flush=True)
