"""Every other store that fsspec has a file system for: the Hugging Face Hub, memory, SFTP, ..."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec

from finehard.errors import FinehardError


class FsspecStore:
    """A `Store` on fsspec's file system for `scheme`, which gets the options as they are."""

    def __init__(self, scheme: str, **options: Any) -> None:
        self._scheme = scheme
        self._fs = fsspec.filesystem(scheme, **options)

    def check(self, bucket: str) -> None:
        if self._scheme == "hf" and not self._fs.exists(bucket):
            raise FinehardError(
                f"there is no repository hf://{bucket}, or it is private: set HF_TOKEN, or run "
                "`hf auth login`"
            )

    def stat(self, bucket: str, key: str) -> tuple[int, str]:
        info = self._fs.info(self._path(bucket, key))
        if info["type"] == "directory":
            raise FileNotFoundError()
        return int(info["size"]), str(self._fs.ukey(self._path(bucket, key)))

    def read(self, bucket: str, key: str, offset: int, length: int | None) -> bytes:
        path = self._path(bucket, key)
        end = None if length is None else offset + length
        if self._fs.async_impl:
            return bytes(self._fs.cat_file(path, start=offset or None, end=end))
        # cat_file would read ahead
        with self._fs.open(path, "rb", cache_type="none") as file:
            file.seek(offset)
            return bytes(file.read(-1 if length is None else length))

    def list(
        self, bucket: str, prefix: str, recursive: bool, limit: int | None
    ) -> Iterator[tuple[str, int]]:
        self._fs.invalidate_cache()
        folder = prefix.rpartition("/")[0]
        base = self._fs._strip_protocol(self._path(bucket, folder))
        depth = None if recursive else 1
        for name, info in self._fs.find(base, maxdepth=depth, detail=True).items():
            key = (folder + "/" if folder else "") + name[len(base) :].lstrip("/")
            if key.startswith(prefix):
                yield key, info["size"]

    def upload(self, bucket: str, key: str, path: str) -> None:
        uri = self._path(bucket, key)
        self._fs.makedirs(self._fs._parent(uri), exist_ok=True)
        try:
            self._fs.put_file(path, uri)
        except BaseException:
            self.delete(bucket, [key])  # fsspec may leave what was written so far
            raise

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(bucket, key))

    def read_version(self, bucket: str, key: str) -> tuple[bytes, str]:
        raise NotImplementedError

    def write_if(self, bucket: str, key: str, data: bytes, version: str | None) -> str | None:
        raise NotImplementedError

    def _path(self, bucket: str, key: str) -> str:
        return f"{self._scheme}://{bucket}/{key}".rstrip("/")
