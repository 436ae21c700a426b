"""The process that owns a server. `server.py` starts it with the folder; the config is on stdin.

It is started by the first user, outlives it while others use the server, and ends when the last one
is gone, when it is told to (SIGTERM), or when the engine crashed too often.
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


def choose_ports(config: ServeConfig, before: list[int]) -> list[int]:
    """Returns a port for each replica: as configured, else those used before, else free ones."""
    if config.port:
        return list(range(config.port, config.port + config.replicas))
    ports = list(dict.fromkeys(before))[: config.replicas]
    while len(ports) < config.replicas:
        port = free_port()
        if port not in ports:
            ports.append(port)
    return ports


def supervise(folder: Path, config: ServeConfig, before: list[int], stop: threading.Event) -> int:
    """Runs until nobody uses the server (returns 0) or it is given up (returns 1)."""
    engine = build_engine(config)
    log = Log(folder / "server.log", config.env.values())
    changed = threading.Event()
    stop_engines = threading.Event()
    replicas = [
        Replica(config, engine, index, port, log, stop_engines, changed.set)
        for index, port in enumerate(choose_ports(config, before))
    ]
    threads = [threading.Thread(target=replica.run) for replica in replicas]
    for thread in threads:
        thread.start()
    failure = None
    with open(folder / state.CLIENTS_LOCK, "ab") as clients:
        left_at: float | None = None
        while not stop.is_set() and failure is None:
            if changed.wait(POLL_S):
                changed.clear()
                failure = publish(folder, engine.name, engine.model_id, replicas)
            # Only when no user is left can this lock be had. It is kept while the engine stops, so
            # that nobody joins a server that is going.
            if not state.try_lock(clients.fileno(), fcntl.LOCK_EX):
                left_at = None
                continue
            left_at = left_at or time.monotonic()
            if time.monotonic() - left_at >= config.linger_s:
                log.note("nobody uses the server any more")
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
            reason = f"{failure}; its last lines: {log.last_words()}"
            state.write_json(folder / state.FAILED, {"reason": reason, "time": time.time()})
        log.note(f"stopped{'' if failure is None else ': ' + failure}")
    return 0 if failure is None else 1


def publish(folder: Path, name: str, model_id: str, replicas: list[Replica]) -> str | None:
    """Writes server.json once all replicas have been healthy; returns why one was given up."""
    for replica in replicas:
        if replica.failure is not None:
            return replica.failure
    if all(replica.was_healthy for replica in replicas):
        processes = [replica.process for replica in replicas]
        server: dict[str, Any] = {
            "supervisor": state.process_mark(os.getpid()),
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
