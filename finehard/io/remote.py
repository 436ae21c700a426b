"""Remote files (gs://, s3://, ...) through Beam's FileSystems, for `finehard.io.storage`."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from finehard.errors import FinehardError
from finehard.io import clients, stores
from finehard.io.storage import File
from finehard.io.stores import reach
from finehard.records import Bytes

clients.share()


def use_options(options: Any) -> None:
    """Tells Beam's FileSystems the pipeline's options (S3 endpoint, credentials)."""
    FileSystems.set_options(options)
    clients.forget()
    stores.forget()


def exists(uri: str) -> bool:
    """Whether an object is at `uri`. Raises as `reach`."""
    reach(uri)
    return FileSystems.exists(uri)


def glob(folder: str, prefix: str) -> list[File]:
    """The objects directly in `folder` whose names begin with `prefix`.

    Raises `FinehardError` when the store cannot be asked.
    """
    return _match(_literal(f"{folder.rstrip('/')}/{prefix}") + "*")


def _literal(text: str) -> str:
    return re.sub(r"[*?[]", lambda special: f"[{special[0]}]", text)


def _match(pattern: str) -> list[File]:
    reach(pattern)
    try:
        [matched] = FileSystems.match([pattern])
    except Exception as error:  # every store has its own exceptions
        raise FinehardError(f"cannot list {pattern}: {_one_line(error)}") from error
    return [File(m.path, m.size_in_bytes) for m in matched.metadata_list]


def walk(uri: str) -> Iterator[File]:
    """All objects below `uri`; those in hidden and `_` folders left out."""
    base = uri.rstrip("/") + "/"
    for file in _match(_literal(base) + "**"):
        folders = file.uri[len(base) :].split("/")[:-1]
        if not any(part.startswith((".", "_")) for part in folders):
            yield file


def size(uri: str) -> int:
    """Size in bytes of the object at `uri`. Raises as `open_read`."""
    with _store(uri):
        return FileSystems.get_filesystem(uri).metadata(uri).size_in_bytes


def open_read(uri: str) -> BinaryIO:
    """The object at `uri`, seekable, never decompressed on the way.

    It raises `FileNotFoundError` where there is none. Where the store fails otherwise, when it is
    opened or read, that is no fault of the object: `FinehardError`, which ends the build.
    """
    with _store(uri):
        opened = FileSystems.open(
            uri, "application/octet-stream", compression_type=CompressionTypes.UNCOMPRESSED
        )
    return cast(BinaryIO, _Object(uri, opened))


class _Object:
    """An opened object whose reads fail as `open_read` tells."""

    def __init__(self, uri: str, opened: BinaryIO) -> None:
        self._uri, self._opened = uri, opened

    def read(self, size: int = -1) -> bytes:
        with _store(self._uri):
            return self._opened.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _store(self._uri):
            return self._opened.seek(offset, whence)

    def __enter__(self) -> _Object:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


@contextlib.contextmanager
def _store(uri: str) -> Iterator[None]:
    """Tells a missing object from a store that fails."""
    reach(uri)
    try:
        yield
    except Exception as error:  # every store has its own exceptions
        if _is_missing(uri):
            raise FileNotFoundError(f"there is no {uri}") from error
        raise FinehardError(
            f"cannot read {uri}: {_one_line(error)}; put that right, then run the same command "
            "again"
        ) from error


def _is_missing(uri: str) -> bool:
    """Whether the store says that no object is at `uri`; not where it says nothing."""
    try:
        return not FileSystems.exists(uri)
    except Exception:
        return False


def read_range(where: Bytes) -> bytes:
    """The bytes at `where`, fewer when the object ends before. Raises as `open_read`."""
    with _store(where.uri):
        return clients.read_range(where.uri, where.offset, where.length)


def upload(file: IO[bytes], uri: str) -> None:
    """Copies all of `file` to a new object at `uri`. Raises `FinehardError` when the store fails;
    then there is no object at `uri`, as far as the store lets it be removed."""
    reach(uri)
    try:
        with FileSystems.create(
            uri, "application/octet-stream", compression_type=CompressionTypes.UNCOMPRESSED
        ) as target:
            shutil.copyfileobj(file, target, 8 << 20)
    except Exception as error:  # every store has its own exceptions
        # closing puts up what was written so far: Beam knows no way to abandon an object
        with contextlib.suppress(Exception):
            delete([uri])
        raise FinehardError(
            f"cannot write {uri}: {_one_line(error)}; put that right, then run the same command "
            "again"
        ) from error


def delete(uris: list[str]) -> None:
    """Removes the objects at `uris`."""
    there = [uri for uri in uris if FileSystems.exists(uri)]
    # Beam takes what it is to delete for patterns on GCS, for plain names on S3
    FileSystems.delete([_literal(u) if u.startswith("gs://") else u for u in there])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
