"""Files, local or at a URI: listed, read in ranges, written so that they are whole or absent.

Local paths need nothing but the standard library; URIs with a scheme (gs://, s3://, ...) go through
Beam's FileSystems, imported on first use.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, BinaryIO, NamedTuple

from finehard.records import Bytes


class File(NamedTuple):
    """A file and its size in bytes."""

    uri: str
    size: int


def is_remote(uri: str) -> bool:
    """Whether `uri` has a scheme, so that Beam's FileSystems must be asked."""
    return "://" in uri


def _remote() -> ModuleType:
    from finehard.io import remote as filesystems

    return filesystems


def join(base: str, *parts: str) -> str:
    """`base` and `parts` as one path or URI."""
    return "/".join([base.rstrip("/"), *parts]) if parts else base


def local(path: str) -> str:
    """`path` made absolute where it is local; a URI as it is."""
    return path if is_remote(path) else os.path.abspath(os.path.expanduser(path))


def exists(uri: str) -> bool:
    """Whether a file is at `uri`, or for local paths a directory."""
    return _remote().exists(uri) if is_remote(uri) else os.path.exists(uri)


def is_dir(uri: str) -> bool:
    """Whether `uri` is a directory, or a prefix under which remote files lie."""
    if is_remote(uri):
        return not _remote().exists(uri) and any(True for _ in _remote().walk(uri))
    return os.path.isdir(uri)


def walk(uri: str) -> Iterator[File]:
    """All files below directory `uri`, sorted by name; hidden and `_` directories left out."""
    if is_remote(uri):
        yield from sorted(_remote().walk(uri))
        return
    found = []
    for folder, subfolders, names in os.walk(uri):
        subfolders[:] = [s for s in subfolders if not s.startswith((".", "_"))]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                found.append(File(path, os.path.getsize(path)))
    yield from sorted(found)


def glob(folder: str, prefix: str) -> list[File]:
    """The files directly in `folder` whose names begin with `prefix`, sorted."""
    if is_remote(folder):
        return sorted(_remote().glob(folder, prefix))
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return sorted(
            File(e.path, e.stat().st_size)
            for e in entries
            if e.name.startswith(prefix) and e.is_file()
        )
    return []


def size(uri: str) -> int:
    """Size in bytes of the file at `uri`."""
    return _remote().size(uri) if is_remote(uri) else os.path.getsize(uri)


def open_read(uri: str) -> BinaryIO:
    """The file at `uri`, opened for reading, seekable."""
    return _remote().open_read(uri) if is_remote(uri) else open(uri, "rb")


def read(where: Bytes) -> bytes:
    """The bytes at `where`. Raises `EOFError` when the file ends before them."""
    if is_remote(where.uri):
        data = _remote().read_range(where)
    else:
        fd = os.open(where.uri, os.O_RDONLY)
        try:
            data = os.pread(fd, where.length, where.offset)
            while 0 < len(data) < where.length:  # pread gives at most 2 GiB a call
                more = os.pread(fd, where.length - len(data), where.offset + len(data))
                if not more:
                    break
                data += more
        finally:
            os.close(fd)
    if len(data) != where.length:
        raise EOFError(f"{where.uri} ends at byte {where.offset + len(data)}")
    return data


def read_all(uri: str) -> bytes:
    """The whole file at `uri`."""
    with open_read(uri) as file:
        return file.read()


@contextlib.contextmanager
def writing(uri: str, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write, which appears at `uri` whole when the block ends without an error.

    With `durable` it is on the disk itself then, and outlives a power cut; without, it outlives
    the process.

    Until then it lies under a temporary name: beside its final place when local (then renamed),
    on this machine's disk when remote (then uploaded, which object stores do all or nothing).
    """
    if is_remote(uri):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            _remote().upload(file, uri)
        return
    os.makedirs(os.path.dirname(uri) or ".", exist_ok=True)
    temporary = os.path.join(
        os.path.dirname(uri), f".{os.path.basename(uri)}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    )
    try:
        with _opened(temporary, uri) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, uri)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _opened(path: str, name: str) -> BinaryIO:
    """A new file at `path`; where that fails, the error tells of `name`."""
    try:
        return open(path, "w+b")
    except OSError as error:
        error.filename = name
        raise


_LEFT = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}\.tmp")


def sweep(folder: str) -> None:
    """Removes what `writing` left below `folder` in processes that were killed.

    For a folder that nobody else writes to: no other process may be at work there. Remote stores
    hold nothing unfinished.
    """
    if is_remote(folder):
        return
    for path, _, names in os.walk(folder):
        for name in names:
            if _LEFT.fullmatch(name):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(path, name))


def write(uri: str, data: bytes) -> None:
    """Puts `data` at `uri`, whole or not at all."""
    with writing(uri) as file:
        file.write(data)


def delete(uris: list[str]) -> None:
    """Removes the files at `uris`; those already gone are no error."""
    remote = [u for u in uris if is_remote(u)]
    if remote:
        _remote().delete(remote)
    for path in uris:
        if not is_remote(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def delete_tree(uri: str) -> None:
    """Removes everything below `uri`."""
    if is_remote(uri):
        _remote().delete([f.uri for f in _remote().walk(uri)])
    else:
        shutil.rmtree(uri, ignore_errors=True)


def project_file(folder: str, name: str) -> Path:
    """A file that ships with finehard: from the checkout, or from the installed package."""
    package = Path(__file__).parents[1]
    for base in (package / "_data", package.parent):
        if (base / folder / name).exists():
            return base / folder / name
    return package.parent / folder / name
