"""The process that owns a server; started by `server.py`, it reads its config from stdin.

The first client starts it. It exits when the last client is gone, on SIGTERM, or when the engine
has crashed too often.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from finehard.errors import FinehardError
from finehard.serve import state
from finehard.serve.config import ServeConfig
from finehard.serve.engines import build_engine
from finehard.serve.log import Log
from finehard.serve.replica import Replica, free_port

POLL_S = 0.2


def choose_ports(config: ServeConfig, previous: list[int]) -> list[int]:
    """Returns a port per replica: the configured, else the previous ones, else free ones."""
    if config.port:
        return list(range(config.port, config.port + config.replicas))
    ports = list(dict.fromkeys(previous))[: config.replicas]
    while len(ports) < config.replicas:
        port = free_port()
        if port not in ports:
            ports.append(port)
    return ports


def supervise(folder: Path, config: ServeConfig, previous: list[int], stop: threading.Event) -> int:
    """Runs the server until it has no clients (returns 0) or is given up (returns 1)."""
    engine = build_engine(config)
    log = Log(folder / "server.log", config.env.values())
    changed = threading.Event()
    stop_engines = threading.Event()
    replicas = [
        Replica(config, engine, index, port, log, stop_engines, changed.set)
        for index, port in enumerate(choose_ports(config, previous))
    ]
    threads = [threading.Thread(target=replica.run) for replica in replicas]
    for thread in threads:
        thread.start()
    failure = None
    with open(folder / state.CLIENTS_LOCK, "ab") as clients:
        idle_since: float | None = None
        while not stop.is_set() and failure is None:
            if changed.wait(POLL_S):
                changed.clear()
                failure = publish(folder, engine.name, engine.model_id, replicas)
            # This lock is available only when no client is left. It is held while the engine stops,
            # so that no client joins a server that is stopping.
            if not state.try_lock(clients.fileno(), fcntl.LOCK_EX):
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since >= config.linger_s:
                log.note("no client is left")
                break
            fcntl.flock(clients, fcntl.LOCK_UN)
        stop_engines.set()
        for number, grace_s in ((signal.SIGTERM, config.stop_grace_s), (signal.SIGKILL, None)):
            for replica in replicas:
                replica.signal(number)
            for thread in threads:
                thread.join(grace_s)
        (folder / state.SERVER).unlink(missing_ok=True)
        if failure is not None:
            reason = f"{failure}; its last lines: {log.summary()}"
            state.write_json(folder / state.FAILED, {"reason": reason, "time": time.time()})
        log.note(f"stopped{'' if failure is None else ': ' + failure}")
    return 0 if failure is None else 1


def publish(folder: Path, name: str, model_id: str, replicas: list[Replica]) -> str | None:
    """Writes server.json once all replicas have been healthy. Returns why one was given up."""
    for replica in replicas:
        if replica.failure is not None:
            return replica.failure
    if all(replica.was_healthy for replica in replicas):
        processes = [replica.process for replica in replicas]
        server: dict[str, Any] = {
            "supervisor": state.process_identity(os.getpid()),
            "base_urls": [f"http://127.0.0.1:{replica.port}/v1" for replica in replicas],
            "ports": [replica.port for replica in replicas],
            "model": replicas[0].model,
            "model_id": model_id,
            "engine": name,
            "engine_groups": [process.pid for process in processes if process is not None],
            "restarts": sum(replica.starts - 1 for replica in replicas),
        }
        state.write_json(folder / state.SERVER, server)
    return None


def main(arguments: list[str]) -> int:
    """Runs the supervisor for the folder in `arguments`; returns the exit status."""
    folder = Path(arguments[0])
    request = json.load(sys.stdin)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        return supervise(folder, ServeConfig(**request["config"]), request["ports"], stop)
    except FinehardError as error:
        state.write_json(folder / state.FAILED, {"reason": str(error), "time": time.time()})
        return 1
