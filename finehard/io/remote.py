"""Files in object stores, for `finehard.io.storage`: the store of a scheme, and its errors."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import fsspec

from finehard.errors import FinehardError, UsageError, error_line
from finehard.io.file import File
from finehard.records import Bytes

SCHEMES = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az",
    "hf": "hf", "memory": "memory",
}  # fmt: skip
"""The known schemes, and the name under which the options of each are given."""
_CLASSES = {"s3": ("s3", "S3"), "gs": ("gcs", "GCS"), "az": ("azure", "Azure")}
_EXTRAS = {"s3": "aws", "gs": "gcp", "az": "azure", "hf": "hub"}


class Store(Protocol):
    """An object store: objects named `key` in a `bucket`, written whole or not at all.

    One instance serves all threads of a process. Transient errors are retried for seconds. A
    missing object raises `FileNotFoundError`; otherwise the store's own exceptions are raised.
    """

    def check(self, bucket: str) -> None:
        """Makes one request. Raises `FinehardError` without credentials, or without `bucket`."""

    def stat(self, bucket: str, key: str) -> tuple[int, str]:
        """Returns the size of the object in bytes, and what is another when its content is (ETag,
        generation, or the like)."""
        ...

    def read(self, bucket: str, key: str, offset: int, length: int | None) -> bytes:
        """Returns `length` bytes from `offset`, fewer if the object ends before; None: all."""
        ...

    def list(
        self, bucket: str, prefix: str, recursive: bool, limit: int | None
    ) -> Iterator[tuple[str, int]]:
        """Yields key and size of the objects whose keys start with `prefix`; unless `recursive`,
        only those without a slash after it."""
        ...

    def upload(self, bucket: str, key: str, path: str) -> None:
        """Copies the local file `path` to the object."""

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Deletes the objects; missing ones are no error."""

    def read_version(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Returns the object and its version (ETag or generation). Raises `NotImplementedError`
        where the store has no conditional writes."""
        ...

    def write_if(self, bucket: str, key: str, data: bytes, version: str | None) -> str | None:
        """Writes the object if its version is `version` (None: if it does not exist). Returns the
        new version, or None if the condition failed. Raises as `read_version`."""
        ...


_options: dict[str, dict[str, Any]] = {}
_stores: dict[str, Store] = {}
_checked: set[str] = set()
_lock = threading.Lock()


def configure(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets the options of every store, and closes what was opened with others."""
    global _options
    _options = {SCHEMES.get(scheme, scheme): dict(given) for scheme, given in options.items()}
    _forget()


def _forget() -> None:
    _stores.clear()
    _checked.clear()


os.register_at_fork(after_in_child=_forget)  # connections cannot be shared


def _open(uri: str) -> tuple[Store, str, str]:
    """Returns the store of `uri`, the bucket and the key. A bucket is checked on first use.

    Raises `UsageError` for an unknown scheme, a missing package or a wrong option, and
    `FinehardError` without credentials, without the bucket, or without an answer.
    """
    scheme, bucket, key = _split(uri)
    name = SCHEMES.get(scheme, scheme)
    root = f"{scheme}://{bucket}"
    with _failures(root, "reach"):
        with _lock:
            if name not in _stores:
                _stores[name] = _make(name, root)
            store = _stores[name]
        if root not in _checked:
            store.check(bucket)
            _checked.add(root)
    return store, bucket, key


def _split(uri: str) -> tuple[str, str, str]:
    """Returns scheme, bucket and key. On the Hub, a repository is a bucket."""
    scheme, _, path = uri.partition("://")
    depth = 1
    if scheme == "hf":
        depth = 3 if path.startswith(("datasets/", "spaces/")) else 2
    parts = path.split("/", depth)
    return scheme, "/".join(parts[:depth]), "/".join(parts[depth:])


def _make(name: str, root: str) -> Store:
    options = _options.get(name, {})
    try:
        if name not in _CLASSES:
            fsspec.get_filesystem_class(name)
            from finehard.io.fsspec_store import FsspecStore

            return FsspecStore(name, **options)
        module, class_name = _CLASSES[name]
        made = getattr(import_module(f"finehard.io.{module}"), class_name)
    except ImportError as error:
        extra = _EXTRAS.get(name)
        needs = f"pip install 'finehard[{extra}]'" if extra else str(error)
        raise UsageError(f"cannot use {root}: a package is missing: {needs}") from None
    except ValueError as error:
        if "not known" not in str(error):
            raise
        raise UsageError(
            f"cannot use {root}: unknown scheme; known are local paths, file, "
            f"{', '.join(SCHEMES)}, and those of fsspec"
        ) from None
    known = inspect.signature(made).parameters
    for option in options:
        if option not in known:
            raise UsageError(
                f"{name}:// has no option {option!r}: it has {', '.join(sorted(known))}"
            )
    return made(**options)


@contextlib.contextmanager
def _failures(uri: str, doing: str) -> Iterator[None]:
    """Names `uri` in what the store raises; a failing store is a `FinehardError`."""
    try:
        yield
    except (FinehardError, NotImplementedError):
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {uri}") from error
    except Exception as error:  # every store has its own exceptions
        line = error_line(error, 200) or type(error).__name__
        todo = "" if doing == "reach" else "; put that right, then run the same command again"
        raise FinehardError(f"cannot {doing} {uri}: {line}{todo}") from error


def exists(uri: str) -> bool:
    try:
        size(uri)
    except FileNotFoundError:
        return False
    return True


def is_dir(uri: str) -> bool:
    return any(True for _ in _list(uri.rstrip("/") + "/", True, 1)) and not exists(uri)


def glob(folder: str, prefix: str) -> list[File]:
    return list(_list(f"{folder.rstrip('/')}/{prefix}", False))


def walk(uri: str) -> list[File]:
    """Lists everything below `uri`."""
    return list(_list(uri.rstrip("/") + "/", True))


def _list(uri: str, recursive: bool, limit: int | None = None) -> Iterator[File]:
    store, bucket, prefix = _open(uri)
    root = uri[: len(uri) - len(prefix)]
    with _failures(uri, "list"):
        for key, size in store.list(bucket, prefix, recursive, limit):
            if not key.endswith("/"):  # a marker, as consoles make them for folders
                yield File(root + key, size)


def size(uri: str) -> int:
    return stat(uri)[0]


def stat(uri: str) -> tuple[int, str]:
    store, bucket, key = _open(uri)
    with _failures(uri, "read"):
        return store.stat(bucket, key)


def read(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """Returns the bytes of the object in one request, fewer if it ends before."""
    if length == 0:
        return b""
    store, bucket, key = _open(uri)
    with _failures(uri, "read"):
        data = store.read(bucket, key, offset, length)
        if length is not None and len(data) > length:
            raise OSError("the store sent more than the range that was asked for")
        return data


def read_range(where: Bytes) -> bytes:
    return read(where.uri, where.offset, where.length)


def upload(path: str, uri: str) -> None:
    store, bucket, key = _open(uri)
    with _failures(uri, "write"):
        store.upload(bucket, key, path)


def delete(uris: Sequence[str]) -> None:
    keys: dict[str, list[str]] = {}
    for uri in uris:
        _, _, key = _split(uri)
        keys.setdefault(uri[: len(uri) - len(key)], []).append(key)
    for root, names in keys.items():
        store, bucket, _ = _open(root)
        with _failures(root, "delete from"):
            store.delete(bucket, names)


def read_version(uri: str) -> tuple[bytes, str]:
    store, bucket, key = _open(uri)
    with _failures(uri, "read"):
        return store.read_version(bucket, key)


def write_if(uri: str, data: bytes, version: str | None) -> str | None:
    store, bucket, key = _open(uri)
    with _failures(uri, "write"):
        return store.write_if(bucket, key, data, version)


class RemoteFile(io.RawIOBase):
    """An object opened for reading. Reads ahead as long as it is read forwards: 64 KB at first,
    twice as much with each request, up to 8 MB."""

    _LEAST, _MOST = 64 << 10, 8 << 20

    def __init__(self, uri: str) -> None:
        self._uri, self._size = uri, size(uri)
        self._position = self._start = 0
        self._buffer, self._ahead = b"", self._LEAST

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        within = self._position - self._start
        data = self._buffer[within : within + wanted] if within >= 0 else b""
        if len(data) < wanted:
            data += self._fetch(self._position + len(data), wanted - len(data))
        self._position += len(data)
        return data

    def _fetch(self, offset: int, length: int) -> bytes:
        gap = offset - self._start - len(self._buffer)
        self._ahead = min(2 * self._ahead, self._MOST) if 0 <= gap <= self._ahead else self._LEAST
        ahead = min(max(length, self._ahead), self._size - offset)
        self._buffer, self._start = read(self._uri, offset, ahead), offset
        return self._buffer[:length]

    def readinto(self, target: Any) -> int:
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read()
