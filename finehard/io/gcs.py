"""Google Cloud Storage, through google-cloud-storage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import google.auth
import requests.adapters
from google.api_core.exceptions import (
    Forbidden,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
    Unauthorized,
)
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from finehard.errors import FinehardError
from finehard.io.ordered_map import ordered_map

_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]
_RETRY = DEFAULT_RETRY.with_timeout(20)
_TIMEOUT = (5, 60)
"""Seconds to connect, and between two pieces of a reply."""


class GCS:
    """A `Store`. The options are those of fsspec's gcsfs; without `token` ("anon", or a
    credentials file) the machine's default credentials are used, and where there are none,
    requests are anonymous, so that public buckets can be read."""

    def __init__(
        self, token: str | None = None, project: str | None = None, endpoint_url: str | None = None
    ) -> None:
        self._no_credentials = False
        if token == "anon" or (token is None and "STORAGE_EMULATOR_HOST" in os.environ):
            credentials = AnonymousCredentials()
        elif token is not None:
            credentials, _ = google.auth.load_credentials_from_file(token, scopes=_SCOPES)
        else:
            try:
                credentials, _ = google.auth.default(scopes=_SCOPES)
            except DefaultCredentialsError:
                credentials, self._no_credentials = AnonymousCredentials(), True
        self._client = storage.Client(
            project=project or os.environ.get("GOOGLE_CLOUD_PROJECT") or "none",
            credentials=credentials,
            client_options={"api_endpoint": endpoint_url} if endpoint_url else None,
        )
        pool = requests.adapters.HTTPAdapter(pool_connections=64, pool_maxsize=64)
        for prefix in ("https://", "http://"):
            self._client._http.mount(prefix, pool)

    def check(self, bucket: str) -> None:
        blobs = self._client.list_blobs(bucket, max_results=1, timeout=_TIMEOUT, retry=None)
        try:
            next(iter(blobs), None)
        except NotFound:
            raise FinehardError(f"there is no bucket gs://{bucket}") from None
        except (Forbidden, Unauthorized, GoogleAuthError) as error:
            if self._no_credentials:
                raise FinehardError(
                    f"no credentials for gs://{bucket}, which is not public: run `gcloud auth "
                    "application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
                ) from None
            if isinstance(error, GoogleAuthError):
                raise

    def stat(self, bucket: str, key: str) -> tuple[int, str]:
        blob = self._blob(bucket, key)
        try:
            blob.reload(timeout=_TIMEOUT, retry=_RETRY)
        except NotFound as error:
            raise FileNotFoundError() from error
        return int(blob.size), str(blob.generation)

    def read(self, bucket: str, key: str, offset: int, length: int | None) -> bytes:
        end = None if length is None else offset + length - 1
        try:
            return bytes(
                self._blob(bucket, key).download_as_bytes(
                    start=offset or (0 if end is not None else None),
                    end=end,
                    raw_download=True,
                    timeout=_TIMEOUT,
                    retry=_RETRY,
                )
            )
        except RequestRangeNotSatisfiable:  # the object ends before
            return b""
        except NotFound as error:
            raise FileNotFoundError() from error

    def list(
        self, bucket: str, prefix: str, recursive: bool, limit: int | None
    ) -> Iterator[tuple[str, int]]:
        for blob in self._client.list_blobs(
            bucket,
            prefix=prefix,
            delimiter=None if recursive else "/",
            max_results=limit,
            fields="items(name,size),nextPageToken",
            timeout=_TIMEOUT,
            retry=_RETRY,
        ):
            yield blob.name, blob.size

    def upload(self, bucket: str, key: str, path: str) -> None:
        self._blob(bucket, key).upload_from_filename(
            path, content_type="application/octet-stream", timeout=_TIMEOUT, retry=_RETRY
        )

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        def delete(key: str) -> None:
            with contextlib.suppress(NotFound):
                self._blob(bucket, key).delete(timeout=_TIMEOUT, retry=_RETRY)

        for _ in ordered_map(delete, keys):
            pass

    def read_version(self, bucket: str, key: str) -> tuple[bytes, str]:
        while True:
            blob = self._blob(bucket, key)
            try:
                blob.reload(timeout=_TIMEOUT, retry=_RETRY)
            except NotFound as error:
                raise FileNotFoundError() from error
            generation = blob.generation
            try:
                data = blob.download_as_bytes(
                    if_generation_match=generation, timeout=_TIMEOUT, retry=_RETRY
                )
                return bytes(data), str(generation)
            except (NotFound, PreconditionFailed):
                continue  # overwritten in between

    def write_if(self, bucket: str, key: str, data: bytes, version: str | None) -> str | None:
        blob = self._blob(bucket, key)
        try:
            blob.upload_from_string(
                data,
                content_type="application/octet-stream",
                if_generation_match=int(version or 0),
                timeout=_TIMEOUT,
                retry=_RETRY,
            )
        except (NotFound, PreconditionFailed):
            return None
        return str(blob.generation)

    def _blob(self, bucket: str, key: str) -> storage.Blob:
        return self._client.bucket(bucket).blob(key)
