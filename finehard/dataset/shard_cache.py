"""Copies of whole remote shards on this machine's disk, for access in random order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time

from finehard.digest import digest
from finehard.io import storage


class ShardCache:
    """Copies of remote shards in `folder`, up to `gigabytes`; the least recently used are deleted.

    The default folder is shared by all processes of this user, which download each shard once.
    """

    def __init__(self, gigabytes: float, folder: str | None = None) -> None:
        self.folder = folder or os.path.join(
            tempfile.gettempdir(), f"finehard-shards-{os.getuid()}"
        )
        self._limit = int(gigabytes * 1e9)

    def fetch(self, uri: str) -> str:
        """The local path of the shard at `uri`, downloaded first if it is not here yet.

        A local path is returned as it is. Raises `FileNotFoundError` if there is no such shard.
        """
        if not storage.is_remote(uri):
            return uri
        size, version = storage.stat(uri)
        name = f"{digest([uri, size, version], 8)}-{os.path.basename(uri)}"
        path = os.path.join(self.folder, name)
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, f".{digest(uri, 8)}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(path):
                os.utime(path, ns=(time.time_ns(), os.stat(path).st_mtime_ns))
            else:
                self._make_room(size)
                with storage.open_read(uri) as source, storage.writing(path, False) as target:
                    shutil.copyfileobj(source, target, 8 << 20)
        return path

    def _make_room(self, size: int) -> None:
        """Deletes the least recently used shards until `size` bytes more fit."""
        shards = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # deleted by another process
                    if entry.name.endswith(".tar"):
                        stat = entry.stat()
                        shards.append((stat.st_atime, stat.st_size, entry.path))
        total = size + sum(length for _, length, _ in shards)
        for _, length, path in sorted(shards):
            if total <= self._limit:
                break
            storage.delete([path])
            total -= length
