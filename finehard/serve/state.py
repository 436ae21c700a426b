"""The folder through which the users of one server and its supervisor meet.

`<temporary folder>/finehard-<user id>/serve/<hash of the config>/` holds:

supervisor.lock   locked exclusively by the supervisor as long as it lives
clients.lock      locked shared by every user; the supervisor locks it exclusively to stop, which
                  the kernel allows only when no user is left, however they ended
server.json       while the server is healthy: URLs, model, process ids
failed.json       why the supervisor gave up
server.log        what the engine printed (and server.log.1, older)
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


def state_folder(config: ServeConfig, engine: Engine) -> Path:
    """Returns the folder of `config`, made if needed and readable by this user only.

    A local model folder whose files changed is another server. Raises FinehardError when somebody
    else owns the folder.
    """
    facts: dict[str, Any] = {
        "config": asdict(config) | {"env": dict(sorted(config.env.items())), "engine": engine.name},
        "command": engine.command,
        "files": model_files(engine, config),
    }
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"finehard-{os.getuid()}"
    for part in (folder, folder / "serve", folder / "serve" / name):
        part.mkdir(mode=0o700, exist_ok=True)
        about = part.lstat()
        private = stat.S_ISDIR(about.st_mode) and not about.st_mode & 0o022
        if about.st_uid != os.getuid() or not private:
            raise FinehardError(
                f"{part}: belongs to somebody else or is open to others; remove it, or set TMPDIR"
            )
    return folder / "serve" / name


def model_files(engine: Engine, config: ServeConfig) -> list[tuple[str, int, int]]:
    folder = Path(config.model).expanduser()
    if engine.name == "command" or not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def try_lock(descriptor: int, how: int) -> bool:
    """Returns whether the lock (fcntl.LOCK_SH or LOCK_EX) was got; never waits."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_json(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns what `path` holds, or None when it does not exist."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def process_mark(pid: int) -> str | None:
    """Returns a text that no other process has, also not a later one with the same number.

    None when no such process lives. Where there is no /proc it is the number alone.
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
    """Sleeps `pause_s`; returns False when `deadline` (time.monotonic) has passed."""
    time.sleep(pause_s)
    return time.monotonic() < deadline
