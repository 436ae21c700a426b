"""An object store for tests: objects are files in a folder, and what is asked of it can fail."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem


class _Upload(io.BytesIO):
    """An object that appears when it is closed, as object stores do it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def write(self, data: Any) -> int:
        IllStore.meet("write", self._path)
        return super().write(data)

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            IllStore.meet("commit", self._path)
            os.makedirs(os.path.dirname(_file(self._path)), exist_ok=True)
            with open(_file(self._path), "wb") as file:
                file.write(data)


def _file(path: str) -> str:
    return path.removeprefix("ill://")


class IllStore(FileSystem):
    """`ill:///FOLDER/...`. `fails` is asked with "write", "commit" or "read", and the path."""

    fails: Callable[[str, str], bool] | None = None

    @classmethod
    def meet(cls, what: str, path: str) -> None:
        """Raises `BeamIOError` where that is to fail."""
        if cls.fails is not None and cls.fails(what, path):
            raise BeamIOError(f"the store answered 503 to {what}\n<Error>Slow\nDown</Error>")

    @classmethod
    def scheme(cls) -> str:
        return "ill"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        pass

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        folder = re.sub(r"[^/]*$", "", _file(dir_or_prefix))
        for base, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(base, name)
                if path.startswith(_file(dir_or_prefix)):
                    yield FileMetadata(f"ill://{path}", os.path.getsize(path))

    def create(self, path: str, *_: Any, **__: Any) -> BinaryIO:
        return _Upload(path)

    def open(self, path: str, *_: Any, **__: Any) -> BinaryIO:
        self.meet("read", path)
        return open(_file(path), "rb")

    def copy(self, source_file_names: Any, destination_file_names: Any) -> None:
        raise NotImplementedError

    def rename(self, source_file_names: Any, destination_file_names: Any) -> None:
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        return os.path.isfile(_file(path))

    def size(self, path: str) -> int:
        return os.path.getsize(_file(path))

    def last_updated(self, path: str) -> float:
        return os.path.getmtime(_file(path))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            os.unlink(_file(path))
