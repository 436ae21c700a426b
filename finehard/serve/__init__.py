"""The model server: started, supervised, shared by the processes of this machine, and stopped."""

from finehard.serve.config import ServeConfig
from finehard.serve.server import Server, ensure_server, serve_forever

__all__ = ["ServeConfig", "Server", "ensure_server", "serve_forever"]
