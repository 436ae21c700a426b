"""Starting a model server, or joining the one that runs, and using it until `close`."""

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
# Not PYTHONPATH: the engine would inherit it.
SUPERVISOR_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from finehard.serve.supervisor import main; sys.exit(main(sys.argv[1:]))"
)
logger = logging.getLogger(__name__)


def ensure_server(config: ServeConfig) -> "Server":
    """Starts the server of `config`, or joins the one already running on this machine.

    Returns when it is healthy. It runs as long as any process uses it: until `close`, or the end of
    the process, whatever ended it. Raises UsageError when the engine cannot be started here, and
    FinehardError with the last lines of its log when it does not come up.
    """
    engine = build_engine(config)
    folder = state.state_folder(config, engine)
    clients = open(folder / state.CLIENTS_LOCK, "ab")  # noqa: SIM115  (held by the Server)
    try:
        # Refused only while a supervisor is stopping its engine, which ends.
        deadline = time.monotonic() + 60 + 2 * config.stop_grace_s
        while not state.try_lock(clients.fileno(), fcntl.LOCK_SH):
            if not state.wait_until(deadline, POLL_S):
                raise FinehardError(f"model server: {folder}: the old one does not end; kill it")
        found = start_or_join(config, engine, folder)
    except BaseException:
        clients.close()
        raise
    return Server(config, engine, folder, clients, found)


def start_or_join(config: ServeConfig, engine: Engine, folder: Path) -> dict[str, Any]:
    """Returns server.json of a healthy server; the caller holds clients.lock shared."""
    began = time.time()
    started = False
    while True:
        # Opened anew each time: once started, the supervisor shares the lock of this descriptor.
        with open(folder / state.SUPERVISOR_LOCK, "ab") as lock:
            no_supervisor = state.try_lock(lock.fileno(), fcntl.LOCK_EX)
            raise_if_failed(engine, folder, began)
            if no_supervisor and started:
                raise failure(engine, folder, "its supervisor was killed")
            if no_supervisor:
                start_supervisor(config, folder, lock)
                started = True
                where = folder / "server.log"
                logger.info("starting %s with %s; log: %s", engine.name, engine.model_id, where)
            found = state.read_json(folder / state.SERVER)
        if found is not None and is_alive(found):
            return found
        time.sleep(POLL_S)


def start_supervisor(config: ServeConfig, folder: Path, lock: BinaryIO) -> None:
    """Starts the supervisor, which inherits `lock`; what an earlier one left is removed."""
    before = state.read_json(folder / state.SERVER) or {}  # left only where it was killed
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
    # By a pipe, not by a file or the command line: the environment may hold keys.
    request = {"config": asdict(config), "ports": before.get("ports", [])}
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(request).encode())
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie


def is_alive(server: dict[str, Any]) -> bool:
    """Returns whether the supervisor that wrote this server.json still runs."""
    mark = server["supervisor"]
    return state.process_mark(int(mark.partition("@")[0])) == mark


def raise_if_failed(engine: Engine, folder: Path, since: float) -> None:
    failed = state.read_json(folder / state.FAILED)
    if failed is not None and failed["time"] >= since:
        raise failure(engine, folder, failed["reason"])


def failure(engine: Engine, folder: Path, reason: str) -> FinehardError:
    log = folder / "server.log"
    return FinehardError(f"model server ({engine.name}, {engine.model_id}): {reason} (log: {log})")


class Server:
    """A running model server, in use until `close`; also a context manager. Keep it: when it is
    collected as garbage, the server is no longer in use.

    base_url    "http://127.0.0.1:PORT/v1" of the first replica; base_urls: of all
    model       the name to send in requests (of `transformers serve`: the folder)
    model_id    the name for people and records: hub name or folder name, and revision
    engine      "vllm", "transformers" or "command"
    log         what the engine prints
    """

    def __init__(
        self,
        config: ServeConfig,
        engine: Engine,
        folder: Path,
        clients: BinaryIO,
        found: dict[str, Any],
    ) -> None:
        self._config, self._engine, self._folder, self._clients = config, engine, folder, clients
        self._joined = time.time()
        self._lock = threading.Lock()
        self.engine = engine.name
        self.model_id = engine.model_id
        self.log = folder / "server.log"
        self._take(found)

    def _take(self, found: dict[str, Any]) -> None:
        self.base_urls: tuple[str, ...] = tuple(found["base_urls"])
        self.base_url = self.base_urls[0]
        self.model: str = found["model"]

    def check(self) -> None:
        """Call it when requests fail. Raises FinehardError when the server was given up.

        An engine that died is being restarted by its supervisor, and nothing is to be done. Where
        the supervisor was killed too, a new one is started, on the same port if that is free.
        """
        with self._lock:
            raise_if_failed(self._engine, self._folder, self._joined)
            self._take(start_or_join(self._config, self._engine, self._folder))

    def close(self, wait_s: float = 0) -> bool:
        """Leaves the server; the last user's leaving stops it.

        Returns whether it has stopped within `wait_s` seconds.
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
    """`finehard serve`: starts the server, prints its URL, and keeps it until SIGINT or SIGTERM.

    Raises FinehardError when it does not come up, or is given up later.
    """
    asked = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        asked.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    server = None
    try:
        server = ensure_server(config)
        for url in server.base_urls:
            print(f"{url}  model {server.model}  engine {server.engine}", flush=True)
        print(f"log: {server.log}; stop with Ctrl-C", flush=True)
        while not asked.wait(1):
            server.check()
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if server is not None:
            stopped = server.close(wait_s=config.linger_s + config.stop_grace_s + 5)
            others = "left running: other processes use it"
            print("stopped" if stopped else others, flush=True)
