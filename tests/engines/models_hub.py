"""A stand-in for the Hugging Face Hub that models are downloaded from."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_COMMIT = "0" * 40


@contextmanager
def models_hub(models: Mapping[str, Path]) -> Iterator[str]:
    """Serves folders as models by these names while the block runs; yields the address."""
    handler = type("Handler", (_Handler,), {"models": models})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models: Mapping[str, Path]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if file := re.fullmatch("/(.+)/resolve/[^/]+/(.+)", path):
            return self._file(file[1], file[2])
        asked = re.fullmatch("/api/models/([^/]+/[^/]+)(?:/(revision|tree)/.*)?", path)
        if asked is None or asked[1] not in self.models:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        files = [file for file in self.models[asked[1]].iterdir() if file.is_file()]
        found: object = [
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _COMMIT}
            for file in files
        ]
        if asked[2] != "tree":
            siblings = [{"rfilename": file.name} for file in files]
            found = {"id": asked[1], "sha": _COMMIT, "siblings": siblings}
        self._answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _file(self, model: str, name: str) -> None:
        file = self.models[model] / name if model in self.models else None
        if file is None or not file.is_file():
            return self._answer(
                404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": _COMMIT}
            )
        data = file.read_bytes()
        tag = hashlib.sha256(data).hexdigest()
        self._answer(200, data, {"ETag": f'"{tag}"', "X-Repo-Commit": _COMMIT})

    def _answer(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
