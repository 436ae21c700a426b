"""`finehard serve-detector`."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser
from finehard.errors import UsageError

TEXT = "run the config's detector as a server, for builds with detect.endpoints"
PORT = 8100


def add_arguments(command: Parser) -> None:
    """Adds the arguments beside those of the config."""
    command.add_argument("--host", default="127.0.0.1", help="address; 0.0.0.0 for "
                         "other machines, without a password (default: %(default)s)")  # fmt: skip
    command.add_argument("--port", type=int, default=PORT, help="0: any (default: %(default)s)")
    command.add_argument("--devices", help="such as cuda:0,cuda:1 (default: the config's; where "
                         "that is auto, all GPUs, or else the CPU)")  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM."""
    from finehard.config import load_config
    from finehard.detect.server import serve_detector, visible_devices

    if not 0 <= chosen.port <= 65535:
        raise UsageError(f"--port {chosen.port} is not from 0 to 65535")
    if not chosen.config:
        raise UsageError("which detector? --config, the config of the build")
    config = load_config(chosen.config, chosen.set)
    devices = visible_devices(config.detect)
    if chosen.devices is not None:
        devices = [name.strip() for name in chosen.devices.split(",")]
        if not all(devices) or len(set(devices)) < len(devices):
            raise UsageError(f"--devices {chosen.devices} is not a list of different devices")
    serve_detector(config.detect, config.images, chosen.host, chosen.port, devices)
    return 0
