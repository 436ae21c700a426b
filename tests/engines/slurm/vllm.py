"""In vLLM's place on a node: bench.simulated_server with the options and the key of vLLM's server.

FINEHARD_ASKED is the folder for its log of answers, FINEHARD_FAILS a node on which it fails, and
FINEHARD_SECONDS the time of an answer.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from bench.simulated_server import Simulated, answer, arguments

SLOTS = 16
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def with_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """As vLLM does: with VLLM_API_KEY, what is below /v1 needs it."""
    key = os.environ.get("VLLM_API_KEY")
    given = request.headers.get("Authorization")
    if key and request.path.startswith("/v1") and given != f"Bearer {key}":
        raise web.HTTPUnauthorized()
    return await handler(request)


async def health(_: web.Request) -> web.Response:
    return web.Response()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int)
    options, _ = parser.parse_known_args()
    node = socket.gethostname()
    if os.environ.get("FINEHARD_FAILS") == node:
        raise SystemExit("no GPU")
    log = f"{os.environ['FINEHARD_ASKED']}/{os.environ['SLURM_JOB_ID']}.{node}.{os.getpid()}"
    seconds = os.environ.get("FINEHARD_SECONDS", "0.15")
    times = ["--slots", str(SLOTS), "--least-s", seconds, "--most-s", seconds]
    app = Simulated(arguments().parse_args([*times, "--log", log]), answer, 0).app()
    app.middlewares.append(with_key)
    app.router.add_get("/health", health)
    web.run_app(app, host=options.host, port=options.port, access_log=None, print=None,
                shutdown_timeout=0.1)  # fmt: skip


if __name__ == "__main__":
    main()
