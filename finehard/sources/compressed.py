"""Opens tars that may be compressed: these are expanded to a temporary file, never to memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, BinaryIO, NamedTuple, cast

import pyarrow as pa

from finehard.errors import FinehardError, error_line
from finehard.io import storage

_CHUNK = 1 << 16
_MOST_TIMES = 200
_ALWAYS = 1 << 30
"""A compressed tar may expand to `_MOST_TIMES` its size, or to `_ALWAYS` bytes if that is more."""


class Opened(NamedTuple):
    """A tar to read, and its size in bytes. If it was `compressed`, both are of the expanded tar,
    and `damage` says why that is not whole."""

    file: BinaryIO
    size: int
    compressed: bool = False
    damage: str = ""


def _xz(file: BinaryIO) -> IO[bytes]:
    return cast(IO[bytes], lzma.LZMAFile(file))


def _zstd(file: BinaryIO) -> IO[bytes]:
    return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


_EXPANDERS: Mapping[bytes, tuple[str, Callable[[BinaryIO], IO[bytes]]]] = {
    b"\x1f\x8b": ("gzip", lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file))),
    b"BZh": ("bzip2", lambda file: cast(IO[bytes], bz2.BZ2File(file))),
    b"\xfd7zXZ\0": ("xz", _xz),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}
"""By how a file begins: the compression's name, and what reads it."""


@contextlib.contextmanager
def open_tar(uri: str) -> Iterator[Opened]:
    """Opens the tar at `uri`. Raises `OSError` if it cannot be read, and `FinehardError` if there
    is no room on this machine's disk to expand it."""
    with storage.open_read(uri) as file:
        start = file.read(6)
        size = file.seek(0, io.SEEK_END) or file.tell()
        file.seek(0)
        expander = next((e for magic, e in _EXPANDERS.items() if start.startswith(magic)), None)
        if expander is None:
            yield Opened(file, size)
            return
        with tempfile.TemporaryFile() as expanded:
            damage = _expand(*expander, file, expanded, max(_ALWAYS, _MOST_TIMES * size))
            size = expanded.tell()
            if size or not damage:
                yield Opened(cast(BinaryIO, expanded), size, True, damage)
            else:
                yield Opened(io.BytesIO(), 0, True, damage)


def _expand(
    name: str, expander: Callable[[BinaryIO], IO[bytes]], file: BinaryIO, to: IO[bytes], most: int
) -> str:
    """Copies `file` expanded to `to`; returns why not all of it could be, else nothing."""
    written = 0
    try:
        stream = expander(file)
        while chunk := stream.read(_CHUNK):
            written += len(chunk)
            if written > most:
                return f"the {name} stream expands to more than {most} bytes"
            _write(to, chunk)
    except (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        return f"the {name} stream is damaged: {error_line(error, 150)}"
    return ""


def _write(to: IO[bytes], chunk: bytes) -> None:
    try:
        to.write(chunk)
    except OSError as error:
        line = error_line(error, 150)
        raise FinehardError(f"cannot expand a compressed tar to the disk: {line}") from None
