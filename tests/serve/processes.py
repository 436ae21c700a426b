"""Inspects processes and servers from outside, for the tests of `finehard.serve`."""

import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from finehard.serve import Server

REPOSITORY = Path(__file__).parents[2]
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def chat(base_url: str, model: str, content: object, timeout_s: float = 120, **fields: object):
    """Returns the parsed reply to one chat request."""
    message = {"role": "user", "content": content}
    body = {"model": model, "messages": [message], "max_tokens": 8, "temperature": 0, **fields}
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with NO_PROXY.open(request, timeout=timeout_s) as reply:
        return json.load(reply)


def say(server: Server) -> str:
    return chat(server.base_url, server.model, "hi")["choices"][0]["message"]["content"]


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> object:
    """Returns the first true value of `condition`; fails the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not true within {timeout_s:g} s: {condition}")


def say_again(server: Server) -> str:
    """Sends requests until the server, which may be restarting, replies."""

    def attempt() -> str:
        try:
            return say(server)
        except OSError:
            return ""

    return str(wait_for(attempt, 120))


def state_of(server: Server) -> dict:
    return json.loads((server.log.parent / "server.json").read_text())


def living(group: int) -> list[int]:
    """Returns the running processes (no zombies) of a process group."""
    running = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            running.append(int(entry.name))
    return running


def mentioning(text: str) -> list[int]:
    """Returns the running processes with `text` in their command line or environment."""
    running = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            data = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text.encode() in data and state not in "ZX":
            running.append(int(entry.name))
    return running


def start_client(config: str, then: str = "time.sleep(600)") -> subprocess.Popen[str]:
    """Starts a process that uses the server of `config`, prints its URL, and waits."""
    script = f"""
        import sys, time
        from finehard.serve import ServeConfig, ensure_server
        server = ensure_server({config})
        print(server.base_url, flush=True)
        {then}
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
