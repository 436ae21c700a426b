"""A stand-in for the Hugging Face Hub on this machine: repositories, commits, large files.

It answers the requests that huggingface_hub makes to upload by LFS, and keeps what it was sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_" + "a" * 34
_LARGE = (".tar", ".parquet", ".jpg")


@dataclass
class Repo:
    """A repository: its files, and the messages of its commits."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


class Hub:
    """What the server holds; `refuse` maps a word in a request's path to the statuses with which
    the next such requests are answered; 200 lets one through."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refuse: dict[str, list[int]] = {}
        self.url = ""

    def sent(self, word: str) -> int:
        """How many requests had `word` in their path."""
        return sum(word in request for request in self.requests)


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """Serves a hub while the block runs."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        self.hub.requests.append(f"{self.command} {path}")
        for word, statuses in self.hub.refuse.items():
            if word in path and statuses and (status := statuses.pop(0)) != 200:
                return self._answer({"error": "as the test asked"}, status)
        if path.startswith("/storage/"):
            self.hub.objects[path.removeprefix("/storage/")] = body
            return self._answer({})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid credentials"}, 401)
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        name = "/".join(path.removeprefix("/api").removeprefix("/datasets/").split("/")[:2])
        repo = self.hub.repos.get(name.removesuffix(".git"))
        if repo is None:
            return self._answer({"error": "Repository not found"}, 404)
        action = path.partition(name)[2].strip("/").split("/")[0]
        actions = {
            "": lambda: self._info(name, repo),
            "tree": lambda: self._tree(repo),
            "preupload": lambda: self._preupload(json.loads(body)),
            "info": lambda: self._batch(json.loads(body)),
            "commit": lambda: self._commit(repo, body),
            "super-squash": lambda: self._squash(repo),
        }
        return actions[action]()

    do_GET = do_POST = do_PUT = _route

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        known = name in self.hub.repos
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repos.setdefault(name, Repo(bool(private)))
        self._answer({"url": f"{self.hub.url}/datasets/{name}"}, 409 if known else 200)

    def _info(self, name: str, repo: Repo) -> None:
        self._answer({"id": name, "private": repo.private, "sha": "0" * 40, "siblings": []})

    def _tree(self, repo: Repo) -> None:
        rows = []
        for path, data in sorted(repo.files.items()):
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
            if path.endswith(_LARGE):
                row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data),
                              "pointerSize": 130}  # fmt: skip
            rows.append(row)
        self._answer(rows)

    def _preupload(self, asked: dict[str, Any]) -> None:
        modes = [
            {"path": file["path"], "shouldIgnore": False, "oid": None,
             "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular"}
            for file in asked["files"]
        ]  # fmt: skip
        self._answer({"files": modes, "commitOid": "0" * 40})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for each in asked["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/storage/{each['oid']}", "header": {}}}
            known = each["oid"] in self.hub.objects
            objects.append({**each, **({} if known else {"actions": upload})})
        self._answer({"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, body: bytes) -> None:
        for line in body.decode().splitlines():
            asked = json.loads(line)
            value = asked["value"]
            if asked["key"] == "header":
                repo.commits.append(value["summary"])
            elif asked["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif asked["key"] == "lfsFile":
                repo.files[value["path"]] = self.hub.objects[value["oid"]]
            elif asked["key"] == "deletedFile":
                del repo.files[value["path"]]
        oid = f"{len(repo.commits):040x}"
        self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/c/{oid}"})

    def _squash(self, repo: Repo) -> None:
        repo.commits[:] = ["squashed"]
        self._answer({"success": True})
