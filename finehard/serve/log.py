"""The model server's log file: bounded in size, secrets masked, summarised for errors."""

import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 8 << 20  # of the current file; one older file of the same size remains
RECENT_LINES = 400
MAX_LINE = 2000  # characters
ERROR_LINE = re.compile(r"\b\w*(Error|Exception|error): ")
MIN_SECRET_LENGTH = 6  # characters; values such as "1" or "true" are not secret


class Log:
    """Appends lines to `path`, with every value of `secrets` replaced by "***"."""

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        self.path = path
        self.secrets = sorted((s for s in secrets if len(s) >= MIN_SECRET_LENGTH), key=len)[::-1]
        self.lines: deque[str] = deque(maxlen=RECENT_LINES)
        self.lock = threading.Lock()
        self.file = open(path, "ab")  # noqa: SIM115  (open until the supervisor exits)

    def write(self, line: str) -> None:
        """Writes a line, and rotates the file when it is full. Thread-safe."""
        line = line.rstrip("\r\n")[:MAX_LINE]
        for secret in self.secrets:
            line = line.replace(secret, "***")
        with self.lock:
            if line.strip():
                self.lines.append(line)
            self.file.write(f"{line}\n".encode(errors="replace"))
            self.file.flush()
            if self.file.tell() > MAX_BYTES:
                self.file.close()
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                self.file = open(self.path, "ab")  # noqa: SIM115

    def note(self, text: str) -> None:
        """Writes a line of the supervisor itself, with the time."""
        self.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} finehard serve: {text}")

    def summary(self) -> str:
        """Returns the last error lines and the last lines of the engine, joined into one line."""
        with self.lock:
            lines = [line for line in self.lines if "finehard serve: " not in line]
        errors = list(dict.fromkeys(line for line in lines if ERROR_LINE.search(line)))[-2:]
        last = [line for line in lines[-3:] if line not in errors]
        words = (" ".join(line.split())[:300] for line in (*errors, *last))
        return " | ".join(words) or "(it printed nothing)"
