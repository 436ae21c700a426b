"""Files, local or at a URI: listed, read in ranges, written so that they are whole or absent.

Local paths (and `file://` URIs, which are the same) need only the standard library. For the other
schemes see `finehard.io.remote`, which is imported on first use.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, cast

from finehard.io.file import File
from finehard.records import Bytes

Options = Mapping[str, Mapping[str, Any]]
"""Scheme -> options of its store, under fsspec's names (s3fs, gcsfs, adlfs, HfFileSystem)."""
_given: Options = {}
JOURNAL = "_journal"
"""The folder in a dataset that no other folder has; see `finehard.dataset.layout`."""


def configure(*layers: Options) -> dict[str, dict[str, Any]]:
    """Sets the options of the stores for this process; of two layers the later one wins.

    To be called once in the command and once in each worker, before a store is used. What no
    layer sets comes from the standard environment variables. Returns the merged options, which
    may hold secrets.
    """
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for scheme, options in layer.items():
            merged.setdefault(scheme, {}).update(options)
    global _given
    _given = merged
    _remote().configure(merged)
    return merged


def configured() -> Options:
    """Returns the options that `configure` set, for a process that this one starts."""
    return _given


def is_remote(uri: str) -> bool:
    """Returns whether `uri` has a scheme other than `file`."""
    return "://" in uri and not uri.startswith("file://")


def _remote() -> ModuleType:
    from finehard.io import remote

    return remote


def _path(uri: str) -> str:
    return uri.removeprefix("file://")


def join(base: str, *parts: str) -> str:
    """Returns `base` and `parts` as one path or URI."""
    return "/".join([base.rstrip("/"), *parts]) if parts else base


def local(path: str) -> str:
    """Returns a local path as an absolute one, and a URI as it is."""
    return path if is_remote(path) else os.path.abspath(os.path.expanduser(_path(path)))


def exists(uri: str) -> bool:
    """Returns whether there is a file at `uri`; for local paths, or a directory."""
    return _remote().exists(uri) if is_remote(uri) else os.path.exists(_path(uri))


def is_dir(uri: str) -> bool:
    """Returns whether `uri` is a directory, or a prefix of objects. Costs at most two requests."""
    return _remote().is_dir(uri) if is_remote(uri) else os.path.isdir(_path(uri))


def walk(uri: str) -> Iterator[File]:
    """Yields all files below directory `uri`, sorted by name.

    Leaves out hidden and `_` directories, and datasets of finehard (directories that hold a
    `_journal`), unless `uri` is one itself.
    """
    if is_remote(uri):
        yield from sorted(_without_skipped(uri.rstrip("/") + "/", _remote().walk(uri)))
        return
    files, top = [], _path(uri)
    prefix = uri[: len(uri) - len(top)]
    for folder, subfolders, names in os.walk(top):
        if JOURNAL in subfolders and folder != top:
            subfolders.clear()
            continue
        subfolders[:] = [s for s in subfolders if not _is_skipped(s)]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                files.append(File(prefix + path, os.path.getsize(path)))
    yield from sorted(files)


def everything(uri: str) -> list[File]:
    """Returns all files below the remote folder `uri`, sorted by name."""
    return sorted(_remote().walk(uri.rstrip("/") + "/"))


def _without_skipped(base: str, files: list[File]) -> Iterator[File]:
    folders = [file.uri[len(base) :].split("/")[:-1] for file in files]
    datasets = {tuple(f[: f.index(JOURNAL)]) for f in folders if JOURNAL in f} - {()}
    for file, inside in zip(files, folders, strict=True):
        if not any(map(_is_skipped, inside)) and not any(
            tuple(inside[:depth]) in datasets for depth in range(1, len(inside) + 1)
        ):
            yield file


def _is_skipped(folder: str) -> bool:
    return folder.startswith((".", "_"))


_TEMPORARY = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}\.tmp")
"""Names that `writing` gives to files until they are whole."""


def glob(folder: str, prefix: str) -> list[File]:
    """Returns the files directly in `folder` whose names begin with `prefix`, sorted; none that is
    still being written."""
    if is_remote(folder):
        return sorted(_remote().glob(folder, prefix))
    path = _path(folder)
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        return sorted(
            File(folder[: len(folder) - len(path)] + e.path, e.stat().st_size)
            for e in entries
            if e.name.startswith(prefix) and e.is_file() and not _TEMPORARY.fullmatch(e.name)
        )
    return []


def size(uri: str) -> int:
    """Returns the size in bytes of the file at `uri`."""
    return _remote().size(uri) if is_remote(uri) else os.path.getsize(_path(uri))


def stat(uri: str) -> tuple[int, str]:
    """Returns the size in bytes of a remote file, and its version: another one when it is written
    again."""
    size, version = _remote().stat(uri)
    return int(size), str(version)


def open_read(uri: str) -> BinaryIO:
    """Opens the file at `uri` for reading, seekable.

    Raises `FileNotFoundError` if it does not exist. A store that fails, then or at a later read,
    is no fault of the file: `FinehardError`, which ends the build.
    """
    if is_remote(uri):
        return cast(BinaryIO, _remote().RemoteFile(uri))
    return open(_path(uri), "rb")


def read(where: Bytes) -> bytes:
    """Returns the bytes at `where`, and transfers no others. Raises `EOFError` if the file ends
    before them, else as `open_read`."""
    if is_remote(where.uri):
        data = _remote().read_range(where)
    else:
        fd = os.open(_path(where.uri), os.O_RDONLY)
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
    """Returns the whole file at `uri`. Raises as `open_read`."""
    if is_remote(uri):
        return bytes(_remote().read(uri))
    with open_read(uri) as file:
        return file.read()


@contextlib.contextmanager
def writing(uri: str, durable: bool = True) -> Iterator[IO[bytes]]:
    """Yields a file to write, which appears at `uri` whole when the block ends without an error.

    If `durable`, it is on the disk by then and survives a power failure; else it survives only
    the process. Until then it has a temporary name: beside its final path if local (then it is
    renamed), on this machine's disk if remote (then it is uploaded).
    """
    if is_remote(uri):
        with tempfile.NamedTemporaryFile() as file:
            yield file
            file.flush()
            _remote().upload(file.name, uri)
        return
    uri = _path(uri)
    os.makedirs(os.path.dirname(uri) or ".", exist_ok=True)
    temporary = os.path.join(
        os.path.dirname(uri), f".{os.path.basename(uri)}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    )
    try:
        with _create(temporary, uri) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, uri)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _create(path: str, name: str) -> BinaryIO:
    """Opens a new file at `path`; if that fails, the error names `name`."""
    try:
        return open(path, "w+b")
    except OSError as error:
        error.filename = name
        raise


def sweep(folder: str) -> None:
    """Removes the temporary files of `writing` below `folder` that killed processes left.

    No other process may write there. Object stores hold nothing unfinished.
    """
    if is_remote(folder):
        return
    for path, _, names in os.walk(_path(folder)):
        for name in names:
            if _TEMPORARY.fullmatch(name):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(path, name))


def write(uri: str, data: bytes) -> None:
    """Writes `data` to `uri`, whole or not at all."""
    with writing(uri) as file:
        file.write(data)


def read_version(uri: str) -> tuple[bytes, str]:
    """Returns a remote file and its version. Raises as `open_read`, and `NotImplementedError` on
    stores without conditional writes."""
    data, version = _remote().read_version(uri)
    return bytes(data), str(version)


def write_if(uri: str, data: bytes, version: str | None) -> str | None:
    """Writes a remote file if its version is still `version` (None: if it does not exist).

    Returns the new version, or None if the condition failed; that is also possible if an earlier
    attempt succeeded whose answer was lost. Raises `NotImplementedError` as `read_version`.
    """
    written: str | None = _remote().write_if(uri, data, version)
    return written


def can_create(uri: str) -> bool:
    """Returns whether `create` works there."""
    if is_remote(uri):
        try:
            read_version(uri)
        except FileNotFoundError:
            pass
        except NotImplementedError:
            return False
    return True


def create(uri: str, data: bytes) -> bool:
    """Writes a file unless there is one. Returns whether it did: of all that try, one does.

    `data` is the caller's own, by which it recognises a write whose answer was lost. Raises
    `NotImplementedError` on stores without conditional writes.
    """
    if is_remote(uri):
        return write_if(uri, data, None) is not None or read_all(uri) == data
    path = _path(uri)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        file = open(path, "xb")  # noqa: SIM115  closed below
    except FileExistsError:
        return False
    with file:
        file.write(data)
    return True


def delete(uris: Iterable[str]) -> None:
    """Removes the files at `uris`; missing ones are no error."""
    uris = list(uris)
    if remote := [u for u in uris if is_remote(u)]:
        _remote().delete(remote)
    for path in uris:
        if not is_remote(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(path))


def delete_tree(uri: str, keep: str = "") -> None:
    """Removes everything below `uri`, but for the folder there that is named `keep`."""
    if is_remote(uri):
        kept = join(uri, keep, "") if keep else None
        files = (file.uri for file in _remote().walk(uri))
        _remote().delete([uri for uri in files if kept is None or not uri.startswith(kept)])
    elif not keep:
        shutil.rmtree(_path(uri), ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError), os.scandir(_path(uri)) as entries:
            for entry in entries:
                if entry.is_dir() and entry.name != keep:
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif entry.is_file():
                    os.unlink(entry.path)


def project_file(folder: str, name: str) -> Path:
    """Returns the path of a file that ships with finehard, in the checkout or the package."""
    package = Path(__file__).parents[1]
    for base in (package / "_data", package.parent):
        if (base / folder / name).exists():
            return base / folder / name
    return package.parent / folder / name
