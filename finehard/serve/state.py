"""The folder that coordinates one server's supervisor and its clients.

`<temporary folder>/finehard-<user id>/serve/<hash>/` contains:

supervisor.lock   locked exclusively by the supervisor while it runs
clients.lock      locked shared by every client; the supervisor locks it exclusively before it
                  stops, which the kernel allows only when all clients are gone, even if killed
server.json       URLs, model and process ids, while the server is healthy
failed.json       why the supervisor gave up
server.log        the engine's output (and server.log.1, older)
"""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finehard.errors import FinehardError
from finehard.serve.config import ServeConfig
from finehard.serve.engines import Engine

SERVER, FAILED = "server.json", "failed.json"
CLIENTS_LOCK, SUPERVISOR_LOCK = "clients.lock", "supervisor.lock"
OWN = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")
"""What in the environment a server is for: the GPUs that it may use, and the job it ends with."""


def state_folder(config: ServeConfig, engine: Engine) -> Path:
    """Returns the folder of `config`; creates it, private to this user, if it does not exist.

    A model folder whose files changed, other GPUs or another Slurm job get another folder, and so
    another server. Raises FinehardError if another user owns the folder or can write to it.
    """
    identity: dict[str, Any] = {
        "config": asdict(config) | {"env": dict(sorted(config.env.items())), "engine": engine.name},
        "command": engine.command,
        "files": model_files(engine, config),
        "own": {name: os.environ[name] for name in OWN if name in os.environ},
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"finehard-{os.getuid()}"
    for part in (folder, folder / "serve", folder / "serve" / name):
        part.mkdir(mode=0o700, exist_ok=True)
        status = part.lstat()
        private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
        if status.st_uid != os.getuid() or not private:
            raise FinehardError(
                f"{part}: owned by another user, or writable by others; remove it, or set TMPDIR"
            )
    return folder / "serve" / name


def model_files(engine: Engine, config: ServeConfig) -> list[tuple[str, int, int]]:
    """Returns (name, size in bytes, mtime in ns) of each file of a local model folder."""
    folder = Path(config.model).expanduser()
    if engine.name == "command" or not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def try_lock(descriptor: int, how: int) -> bool:
    """Takes a lock (fcntl.LOCK_SH or LOCK_EX) without waiting; returns whether it succeeded."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes `value` to `path` atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns the JSON object in the file `path`; None if there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def process_identity(pid: int) -> str | None:
    """Returns a text that identifies a running process even if its pid is reused later.

    Returns None if there is no such process. Without /proc, the text is only the pid.
    """
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return str(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else f"{pid}@{fields[19]}"  # field 22: start time


def wait_until(deadline: float, pause_s: float) -> bool:
    """Sleeps `pause_s`; returns whether `deadline` (time.monotonic) is still ahead."""
    time.sleep(pause_s)
    return time.monotonic() < deadline
