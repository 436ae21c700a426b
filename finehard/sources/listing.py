"""Lists every file of an input folder: those to read, and by kind how many are not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from finehard.io import storage
from finehard.io.file import File

HIDDEN = "files in folders that begin with . or _"
DATASETS = "files in datasets of finehard"
BROKEN = "links to nothing"
SPECIAL = "sockets, pipes and devices"
AGAIN = "links to folders that are read already"
CLOSED = "folders that cannot be opened"


class Listing(NamedTuple):
    """Files sorted by URI, and the number of others by kind."""

    files: list[File]
    unread: Counter[str]


def list_files(uri: str) -> Listing:
    """Returns the files below the folder `uri`, an absolute path or a URI.

    Links to folders are followed, each folder once: under its own name if it is below `uri`, else
    under that of the first link to it. Files in hidden and `_` folders and in datasets of finehard
    (folders that hold a `_journal`) are not read, unless `uri` is such a folder itself.
    """
    return _remote(uri) if storage.is_remote(uri) else _Walk().listing(uri)


class _Walk:
    """A walk through a folder on the disk."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._unread: Counter[str] = Counter()
        self._links: list[tuple[str, str]] = []
        self._visited: set[tuple[int, int]] = set()

    def listing(self, top: str) -> Listing:
        self._walk(top, "")
        while self._links:  # after all folders that are no links, which keep their names
            links, self._links = sorted(self._links), []
            for path, kind in links:
                if self._identity(path) in self._visited:
                    self._unread[kind or AGAIN] += 1
                else:
                    self._walk(path, kind)
        return Listing(sorted(self._files), self._unread)

    def _walk(self, top: str, kind: str) -> None:
        """Lists what is below `top`; all of it is not read as `kind` unless that is empty."""
        stack = [(top, kind)]
        while stack:
            folder, kind = stack.pop()
            self._visited.add(self._identity(folder))
            try:
                entries = list(os.scandir(folder))
            except OSError:
                self._unread[CLOSED] += 1
                continue
            if not kind and folder != top and any(e.name == storage.JOURNAL for e in entries):
                kind = DATASETS
            for entry in entries:
                if not _is(entry.is_dir):
                    self._add(entry, kind)
                    continue
                inside = kind or (HIDDEN if entry.name.startswith((".", "_")) else "")
                if entry.is_symlink():
                    self._links.append((entry.path, inside))
                else:
                    stack.append((entry.path, inside))

    def _add(self, entry: os.DirEntry[str], kind: str) -> None:
        if kind:
            self._unread[kind] += 1
        elif _is(entry.is_file):
            self._files.append(File(entry.path, _size(entry)))
        elif entry.is_symlink() and not os.path.exists(entry.path):
            self._unread[BROKEN] += 1
        else:
            self._unread[SPECIAL] += 1

    @staticmethod
    def _identity(path: str) -> tuple[int, int]:
        try:
            found = os.stat(path)
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino


def _is(test: Callable[[], bool]) -> bool:
    """Returns what `test` does; False for a link that leads in a circle."""
    try:
        return test()
    except OSError:
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # reading it fails too, which says why
        return 0


def _remote(uri: str) -> Listing:
    base = len(uri.rstrip("/")) + 1
    every = storage.everything(uri)
    folders = [file.uri[base:].split("/")[:-1] for file in every]
    journal = storage.JOURNAL
    datasets = {tuple(f[: f.index(journal)]) for f in folders if journal in f} - {()}
    files: list[File] = []
    unread: Counter[str] = Counter()
    for file, inside in zip(every, folders, strict=True):
        if any(tuple(inside[:depth]) in datasets for depth in range(1, len(inside) + 1)):
            unread[DATASETS] += 1
        elif any(folder.startswith((".", "_")) for folder in inside):
            unread[HIDDEN] += 1
        else:
            files.append(file)
    return Listing(files, unread)
