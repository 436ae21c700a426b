"""An object store for tests: objects are files in a folder, and its requests can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


class IllStore(LocalFileSystem):
    """`ill:///FOLDER/...`. `fails` is called with "write", "commit" or "read", and the URI."""

    protocol = "ill"
    fails: Callable[[str, str], bool] | None = None

    @classmethod
    def meet(cls, what: str, path: str) -> None:
        """Raises `OSError` if that is to fail."""
        if cls.fails is not None and cls.fails(what, f"ill://{cls._strip_protocol(path)}"):
            raise OSError(f"the store answered 503 to {what}\n<Error>Slow\nDown</Error>")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("ill://").rstrip("/")

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self.meet("read", path)
        return super().open(path, mode, **options)

    def put_file(self, lpath: str, rpath: str, *_: Any, **__: Any) -> None:
        self.meet("write", rpath)
        self.meet("commit", rpath)
        super().put_file(lpath, rpath)


fsspec.register_implementation("ill", IllStore, clobber=True)
