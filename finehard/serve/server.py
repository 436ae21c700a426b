"""Starts a model server, or joins the running one, and uses it until `close`."""

import contextlib
import fcntl
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, BinaryIO

from finehard.errors import FinehardError
from finehard.serve import state
from finehard.serve.config import ServeConfig
from finehard.serve.engines import Engine, build_engine

POLL_S = 0.1
# Not through PYTHONPATH, which the engine would inherit.
SUPERVISOR_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from finehard.serve.supervisor import main; sys.exit(main(sys.argv[1:]))"
)
logger = logging.getLogger(__name__)


def ensure_server(config: ServeConfig) -> "Server":
    """Starts the server of `config`, or joins the one already running on this machine.

    Returns when it is healthy. It runs until every process that uses it has called `close` or
    exited, even by a signal. Raises UsageError if the engine cannot run on this machine, and
    FinehardError with the last lines of its log if it does not become healthy.
    """
    engine = build_engine(config)
    folder = state.state_folder(config, engine)
    clients = open(folder / state.CLIENTS_LOCK, "ab")  # noqa: SIM115  (held by the Server)
    try:
        # Unavailable only while a supervisor is stopping its engine.
        deadline = time.monotonic() + 60 + 2 * config.stop_grace_s
        while not state.try_lock(clients.fileno(), fcntl.LOCK_SH):
            if not state.wait_until(deadline, POLL_S):
                raise FinehardError(
                    f"model server: {folder}: the previous one does not stop; kill it"
                )
        server = start_or_join(config, engine, folder)
    except BaseException:
        clients.close()
        raise
    return Server(config, engine, folder, clients, server)


def start_or_join(config: ServeConfig, engine: Engine, folder: Path) -> dict[str, Any]:
    """Returns the server.json of a healthy server; the caller must hold clients.lock (shared)."""
    since = time.time()
    started = False
    while True:
        # Reopened each time: the supervisor, once started, shares this descriptor's lock.
        with open(folder / state.SUPERVISOR_LOCK, "ab") as lock:
            no_supervisor = state.try_lock(lock.fileno(), fcntl.LOCK_EX)
            raise_if_failed(engine, folder, since)
            if no_supervisor and started:
                raise failure(engine, folder, "its supervisor was killed")
            if no_supervisor:
                start_supervisor(config, folder, lock)
                started = True
                log = folder / "server.log"
                logger.info("starting %s with %s; log: %s", engine.name, engine.model_id, log)
            server = state.read_json(folder / state.SERVER)
        if server is not None and is_alive(server):
            return server
        time.sleep(POLL_S)


def start_supervisor(config: ServeConfig, folder: Path, lock: BinaryIO) -> None:
    """Starts the supervisor, which inherits `lock`; removes the files of a previous one."""
    previous = state.read_json(folder / state.SERVER) or {}  # exists only if it was killed
    for name in (state.SERVER, state.FAILED):
        (folder / name).unlink(missing_ok=True)
    log = folder / "server.log"
    if log.exists():
        log.replace(log.with_name("server.log.1"))
    package = str(Path(__file__).resolve().parents[2])
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR_START, package, str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
        )
    assert process.stdin is not None
    # Through a pipe, not a file or the command line: `env` may contain keys.
    request = {"config": asdict(config), "ports": previous.get("ports", [])}
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(request).encode())
    threading.Thread(target=process.wait, daemon=True).start()  # reaps the process


def is_alive(server: dict[str, Any]) -> bool:
    """Returns whether the supervisor that wrote this server.json is still running."""
    identity = server["supervisor"]
    return state.process_identity(int(identity.partition("@")[0])) == identity


def raise_if_failed(engine: Engine, folder: Path, since: float) -> None:
    """Raises FinehardError if the supervisor has given up after `since` (time.time)."""
    failed = state.read_json(folder / state.FAILED)
    if failed is not None and failed["time"] >= since:
        raise failure(engine, folder, failed["reason"])


def failure(engine: Engine, folder: Path, reason: str) -> FinehardError:
    """Returns the error for a server that failed for `reason`."""
    log = folder / "server.log"
    return FinehardError(f"model server ({engine.name}, {engine.model_id}): {reason} (log: {log})")


class Server:
    """A running model server, used until `close`; also a context manager.

    Keep a reference: the server may stop once this object is garbage-collected.

    base_url    "http://127.0.0.1:PORT/v1" of the first replica; base_urls: of all
    model       model name for requests (the folder, for `transformers serve`)
    model_id    model for display and records: hub name or folder name, and revision
    engine      "vllm", "transformers" or "command"
    log         path of the log with the engine's output
    """

    def __init__(
        self,
        config: ServeConfig,
        engine: Engine,
        folder: Path,
        clients: BinaryIO,
        server: dict[str, Any],
    ) -> None:
        self._config, self._engine, self._folder, self._clients = config, engine, folder, clients
        self._joined = time.time()
        self._lock = threading.Lock()
        self.engine = engine.name
        self.model_id = engine.model_id
        self.log = folder / "server.log"
        self._update(server)

    def _update(self, server: dict[str, Any]) -> None:
        self.base_urls: tuple[str, ...] = tuple(server["base_urls"])
        self.base_url = self.base_urls[0]
        self.model: str = server["model"]

    def check(self) -> None:
        """Checks the server after failed requests. Raises FinehardError if it was given up.

        The supervisor restarts an engine that died. If the supervisor was killed, this starts a new
        one, on the same ports if they are free.
        """
        with self._lock:
            raise_if_failed(self._engine, self._folder, self._joined)
            self._update(start_or_join(self._config, self._engine, self._folder))

    def close(self, wait_s: float = 0) -> bool:
        """Stops using the server; it stops when no process uses it any more.

        Returns whether it stopped within `wait_s` seconds.
        """
        self._clients.close()
        deadline = time.monotonic() + wait_s
        with open(self._folder / state.SUPERVISOR_LOCK, "ab") as lock:
            while not state.try_lock(lock.fileno(), fcntl.LOCK_EX):
                if not state.wait_until(deadline, min(POLL_S, wait_s)):
                    return False
        return True

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve_forever(config: ServeConfig) -> None:
    """Starts the server, prints its URLs, and runs it until SIGINT or SIGTERM.

    This is `finehard serve`. Raises FinehardError if the server does not become healthy, or is
    given up later.
    """
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    server = None
    try:
        server = ensure_server(config)
        for url in server.base_urls:
            print(f"{url}  model {server.model}  engine {server.engine}", flush=True)
        print(f"log: {server.log}; stop with Ctrl-C", flush=True)
        while not stop.wait(1):
            server.check()
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if server is not None:
            stopped = server.close(wait_s=config.linger_s + config.stop_grace_s + 5)
            message = "stopped" if stopped else "still running: other processes use it"
            print(message, flush=True)
