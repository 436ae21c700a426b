"""Azure Blob Storage, through azure-storage-blob."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    ContentSettings,
    ExponentialRetry,
)

from finehard.errors import FinehardError
from finehard.io.ordered_map import ordered_map

_BINARY = ContentSettings(content_type="application/octet-stream")


class Azure:
    """A `Store`. The options are those of fsspec's adlfs; what is not given comes from the
    environment (`AZURE_STORAGE_CONNECTION_STRING`, or `AZURE_STORAGE_ACCOUNT_NAME` with
    `AZURE_STORAGE_ACCOUNT_KEY` or `AZURE_STORAGE_SAS_TOKEN`), else from `DefaultAzureCredential`.

    A container is named alone (`az://container/...`) or with its account
    (`abfss://container@account.dfs.core.windows.net/...`). Azure's clients are safe for threads.
    """

    def __init__(
        self,
        account_name: str | None = None,
        account_key: str | None = None,
        connection_string: str | None = None,
        sas_token: str | None = None,
        account_url: str | None = None,
        client_id: str | None = None,
        anon: bool = False,
    ) -> None:
        given = os.environ.get
        explicit = account_name or account_url
        self._connection_string = connection_string or (
            None if explicit else given("AZURE_STORAGE_CONNECTION_STRING")
        )
        self._name = (
            account_name or given("AZURE_STORAGE_ACCOUNT_NAME") or given("AZURE_STORAGE_ACCOUNT")
        )
        self._url = account_url
        self._credential: Any = (
            account_key
            or sas_token
            or given("AZURE_STORAGE_ACCOUNT_KEY")
            or given("AZURE_STORAGE_KEY")
            or given("AZURE_STORAGE_SAS_TOKEN")
        )
        self._client_id, self._anonymous = client_id, anon
        self._service = lru_cache(self._connect)

    def check(self, bucket: str) -> None:
        try:
            self._container(bucket).get_container_properties()
        except ResourceNotFoundError:
            raise FinehardError(f"there is no container az://{bucket}") from None
        except ClientAuthenticationError as error:
            if error.error_code == "AuthenticationFailed":
                raise
        except HttpResponseError as error:
            if error.status_code != 403:  # which may hold for the container alone
                raise

    def stat(self, bucket: str, key: str) -> tuple[int, str]:
        try:
            properties = self._blob(bucket, key).get_blob_properties()
            return int(properties.size), str(properties.etag)
        except ResourceNotFoundError as error:
            raise FileNotFoundError() from error

    def read(self, bucket: str, key: str, offset: int, length: int | None) -> bytes:
        try:
            return bytes(self._blob(bucket, key).download_blob(offset, length).readall())
        except ResourceNotFoundError as error:
            raise FileNotFoundError() from error
        except HttpResponseError as error:
            if error.status_code == 416:  # the object ends before
                return b""
            raise

    def list(
        self, bucket: str, prefix: str, recursive: bool, limit: int | None
    ) -> Iterator[tuple[str, int]]:
        container = self._container(bucket)
        blobs = (
            container.list_blobs(name_starts_with=prefix, results_per_page=limit)
            if recursive
            else container.walk_blobs(name_starts_with=prefix, delimiter="/")
        )
        for count, blob in enumerate(blobs):
            if limit is not None and count >= limit:
                return
            if "size" in blob:  # no prefix
                yield blob.name, blob.size

    def upload(self, bucket: str, key: str, path: str) -> None:
        with open(path, "rb") as file:
            self._blob(bucket, key).upload_blob(
                file, overwrite=True, max_concurrency=4, content_settings=_BINARY
            )

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        def delete(key: str) -> None:
            with contextlib.suppress(ResourceNotFoundError):
                self._blob(bucket, key).delete_blob()

        for _ in ordered_map(delete, keys):
            pass

    def read_version(self, bucket: str, key: str) -> tuple[bytes, str]:
        try:
            download = self._blob(bucket, key).download_blob()
            return bytes(download.readall()), str(download.properties.etag)
        except ResourceNotFoundError as error:
            raise FileNotFoundError() from error

    def write_if(self, bucket: str, key: str, data: bytes, version: str | None) -> str | None:
        condition: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if version is not None:
            condition = {"match_condition": MatchConditions.IfNotModified, "etag": version}
        try:
            reply = self._blob(bucket, key).upload_blob(
                data, overwrite=True, content_settings=_BINARY, **condition
            )
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            return None
        return str(reply["etag"])

    def _container(self, bucket: str) -> ContainerClient:
        container, _, host = bucket.partition("@")
        if not (host or self._connection_string or self._name or self._url):
            raise _no_credentials(bucket)
        return self._service(host.partition(".")[0]).get_container_client(container)

    def _blob(self, bucket: str, key: str) -> BlobClient:
        return self._container(bucket).get_blob_client(key)

    def _connect(self, account: str) -> BlobServiceClient:
        """The client of `account`; of the one that the options name where that is empty."""
        settings: dict[str, Any] = {
            "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
            "connection_timeout": 5,
            "read_timeout": 60,
        }
        if self._connection_string and not account:
            return BlobServiceClient.from_connection_string(self._connection_string, **settings)
        url = None if account else self._url
        url = url or f"https://{account or self._name}.blob.core.windows.net"
        credential = self._credential
        if self._anonymous:
            credential = None
        elif credential is None:
            from azure.identity import DefaultAzureCredential

            credential = DefaultAzureCredential(managed_identity_client_id=self._client_id)
            try:  # here, because a request would be retried
                credential.get_token("https://storage.azure.com/.default")
            except ClientAuthenticationError:
                raise _no_credentials(f"...@{account or self._name}") from None
        return BlobServiceClient(url, credential=credential, **settings)


def _no_credentials(bucket: str) -> FinehardError:
    return FinehardError(
        f"no credentials for az://{bucket}: set AZURE_STORAGE_CONNECTION_STRING, or "
        "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or run `az login`"
    )
