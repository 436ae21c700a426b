"""One engine process: started, checked for health, and restarted when it dies."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from finehard.serve.config import ServeConfig
from finehard.serve.engines import Engine
from finehard.serve.log import Log

PROCESS_GUARD = Path(__file__).with_name("process_guard.py")
HEALTHY_PERIOD_S = 60  # an engine healthy for this long has its crash count reset
HEALTH_EVERY_S = 10
PROBE_TIMEOUT_S = 10
POLL_S = 0.2
MAX_BACKOFF_S = 30


def free_port() -> int:
    """Returns a free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_is_free(port: int) -> bool:
    """Returns whether a server can listen on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def request(port: int, path: str, body: dict | None, timeout_s: float) -> tuple[int, bytes]:
    """Returns the status and body (at most 1 MB) of one request to 127.0.0.1, without any proxy.

    Sends a POST if there is a `body`, else a GET. Raises OSError or http.client.HTTPException if
    there is no complete response.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text, headers)
        reply = connection.getresponse()
        return reply.status, reply.read(1 << 20)
    finally:
        connection.close()


def first_model(port: int) -> str:
    """Returns the name of the first model that the server lists, "" if there is none."""
    status, reply = request(port, "/v1/models", None, PROBE_TIMEOUT_S)
    try:
        return str(json.loads(reply)["data"][0]["id"]) if status == 200 else ""
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


class Replica:
    """Supervises one engine; `run` blocks and is meant for a separate thread.

    Calls `changed` when the engine becomes healthy, restarts, or is given up; `failure` is the
    reason in the last case, else None.
    """

    def __init__(
        self,
        config: ServeConfig,
        engine: Engine,
        index: int,
        port: int,
        log: Log,
        stop: threading.Event,
        changed: Callable[[], None],
    ) -> None:
        self.config, self.engine, self.log = config, engine, log
        self.stop, self.changed = stop, changed
        self.label = f"[{index}] " if config.replicas > 1 else ""
        self.port = port
        self.port_fixed = bool(config.port)
        self.model = engine.model
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.healthy_since: float | None = None
        self.was_healthy = False
        self.starts = 0
        self.crashes = 0
        self.failure: str | None = None

    def run(self) -> None:
        """Starts and watches the engine until `stop` is set or the engine is given up."""
        while not self.stop.is_set():
            reason = self.start() or self.watch()
            self.kill()
            if reason is None or self.stop.is_set():
                return
            if self.healthy_since and time.monotonic() - self.healthy_since > HEALTHY_PERIOD_S:
                self.crashes = 0
            self.healthy_since = None
            self.crashes += 1
            self.log.note(f"{self.label}engine {reason} (crash {self.crashes} in a row)")
            # An engine that never became healthy will fail again (wrong model or argument, too
            # little memory), unless another process took its port and it can get a new one.
            port_lost = not self.port_fixed and not port_is_free(self.port)
            hopeless = not self.was_healthy and not port_lost
            if hopeless or self.crashes >= self.config.max_crashes:
                self.failure = reason if self.crashes == 1 else f"{reason}, {self.crashes} times"
                self.changed()
                return
            self.changed()
            self.stop.wait(min(0.5 * 2 ** (self.crashes - 1), MAX_BACKOFF_S))

    def start(self) -> str | None:
        """Starts the engine. Returns why it cannot be started, or None."""
        if not port_is_free(self.port):
            # The process that listens there would be mistaken for the engine.
            if self.was_healthy or self.port_fixed:
                return f"cannot start: port {self.port} is taken by another process"
            self.port = free_port()
        command = [word.replace("{port}", str(self.port)) for word in self.engine.command]
        env = {**os.environ, **self.engine.env, **self.config.env}
        env["PYTHONUNBUFFERED"] = "1"  # or the last lines before a crash would be lost
        self.log.note(f"{self.label}starting {' '.join(command)}")
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(PROCESS_GUARD), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
        )
        self.started = time.monotonic()
        self.starts += 1
        threading.Thread(target=self.copy_output, args=(self.process,), daemon=True).start()
        return None

    def copy_output(self, process: subprocess.Popen[bytes]) -> None:
        """Copies the engine's output to the log until it ends."""
        assert process.stdout is not None
        while line := process.stdout.readline(1 << 16):
            self.log.write(self.label + line.decode(errors="replace"))

    def watch(self) -> str | None:
        """Blocks while the engine works. Returns why it must be restarted; None after `stop`."""
        assert self.process is not None
        last_answer = last_check = time.monotonic()
        while not self.stop.wait(POLL_S):
            status = self.process.poll()
            if status is not None:
                killed = f" (signal {status - 128})" if status > 128 else ""
                return f"ended with status {status}{killed}"
            now = time.monotonic()
            if self.healthy_since is None:
                if self.is_healthy():
                    last_answer = self.healthy_since = time.monotonic()
                    self.was_healthy = True
                    self.log.note(f"{self.label}healthy after {now - self.started:.1f} s")
                    self.changed()
                elif now - self.started > self.config.startup_timeout_s:
                    return f"was not healthy within {self.config.startup_timeout_s:g} s"
            elif now - last_check > HEALTH_EVERY_S:
                last_check = now
                if self.responds():
                    last_answer = time.monotonic()
                elif time.monotonic() - last_answer > self.config.unresponsive_s:
                    return f"did not respond for {self.config.unresponsive_s:g} s"
        return None

    def responds(self) -> bool:
        """Returns whether the health check succeeds."""
        try:
            return request(self.port, self.engine.health, None, PROBE_TIMEOUT_S)[0] < 500
        except (OSError, http.client.HTTPException):
            return False

    def is_healthy(self) -> bool:
        """Returns whether the engine is up and completes a chat request of one token."""
        if not self.responds():
            return False
        left_s = self.config.startup_timeout_s - (time.monotonic() - self.started)
        try:
            self.model = self.model or first_model(self.port)
            message = {"role": "user", "content": "hi"}
            body = {"model": self.model, "messages": [message], "max_tokens": 1, "temperature": 0}
            status, reply = request(self.port, "/v1/chat/completions", body, max(left_s, 1))
        except (OSError, http.client.HTTPException):
            return False
        if status != 200:
            text = " ".join(reply.decode(errors="replace").split())[:300]
            self.log.write(f"{self.label}error: first request answered with {status}: {text}")
            self.stop.wait(1)
        return status == 200

    def signal(self, number: int) -> None:
        """Sends a signal to the engine's process group."""
        process = self.process
        if process is not None:
            signal_group(process.pid, number)

    def kill(self) -> None:
        """Kills the engine's process group and waits for the end of its leader.

        After `stop`, the supervisor has sent SIGTERM and the engine gets its grace period first.
        """
        process = self.process
        if process is None:
            return
        if self.stop.is_set():
            try:
                process.wait(self.config.stop_grace_s)
            except subprocess.TimeoutExpired:
                self.log.note(f"{self.label}engine did not exit in time; killed")
        # Even if the engine has exited: its subprocesses may still run.
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self.process = None


def signal_group(leader: int, number: int) -> None:
    """Sends a signal to the process group of `leader`, if it exists."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS raises the latter for a group of zombies
        return
