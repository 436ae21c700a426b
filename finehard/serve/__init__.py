"""Starts, supervises, shares between processes, and stops the model server of a machine."""

from finehard.serve.config import ServeConfig
from finehard.serve.server import Server, ensure_server, serve_forever

__all__ = ["ServeConfig", "Server", "ensure_server", "serve_forever"]
