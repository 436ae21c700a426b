"""Amazon S3, and stores that speak its protocol, through boto3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError

from finehard.errors import FinehardError

_DELETED_AT_ONCE = 1000


class S3:
    """A `Store`. The options are those of fsspec's s3fs; what is not given comes from the
    environment and the AWS configuration files. boto3's client is safe for threads."""

    def __init__(
        self,
        key: str | None = None,
        secret: str | None = None,
        token: str | None = None,
        endpoint_url: str | None = None,
        profile: str | None = None,
        anon: bool = False,
        use_ssl: bool = True,
        client_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "max_pool_connections": 64,
            "connect_timeout": 5,
            "read_timeout": 60,
            "retries": {"mode": "standard", "total_max_attempts": 4},
        }
        if anon:
            settings["signature_version"] = UNSIGNED
        self._client = boto3.session.Session(profile_name=profile).client(
            "s3",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            endpoint_url=endpoint_url,
            use_ssl=use_ssl,
            config=Config(**(settings | (config_kwargs or {}))),
            **(client_kwargs or {}),
        )

    def check(self, bucket: str) -> None:
        try:
            self._client.head_bucket(Bucket=bucket)
        except NoCredentialsError:
            raise FinehardError(
                f"no credentials for s3://{bucket}: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or choose a profile (AWS_PROFILE)"
            ) from None
        except ClientError as error:
            if _status(error) == 404:
                raise FinehardError(f"there is no bucket s3://{bucket}") from None
            if _status(error) >= 500:
                raise  # 403: a key that may read objects need not be allowed to ask for the bucket

    def stat(self, bucket: str, key: str) -> tuple[int, str]:
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
            return int(head["ContentLength"]), str(head["ETag"])
        except ClientError as error:
            raise _missing_or(error) from error

    def read(self, bucket: str, key: str, offset: int, length: int | None) -> bytes:
        span = "" if length is None else str(offset + length - 1)
        extra = {"Range": f"bytes={offset}-{span}"} if offset or span else {}
        try:
            return bytes(self._client.get_object(Bucket=bucket, Key=key, **extra)["Body"].read())
        except ClientError as error:
            if _status(error) == 416:  # the object ends before
                return b""
            raise _missing_or(error) from error

    def list(
        self, bucket: str, prefix: str, recursive: bool, limit: int | None
    ) -> Iterator[tuple[str, int]]:
        options: dict[str, Any] = {} if recursive else {"Delimiter": "/"}
        if limit:
            options["PaginationConfig"] = {"MaxItems": limit, "PageSize": limit}
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, **options):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"]

    def upload(self, bucket: str, key: str, path: str) -> None:
        self._client.upload_file(
            path, bucket, key, ExtraArgs={"ContentType": "application/octet-stream"}
        )

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
            reply = self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
            )
            for error in reply.get("Errors", ()):
                raise OSError(f"{error.get('Code')}: {error.get('Message')}: {error.get('Key')}")

    def read_version(self, bucket: str, key: str) -> tuple[bytes, str]:
        try:
            reply = self._client.get_object(Bucket=bucket, Key=key)
            return reply["Body"].read(), reply["ETag"]
        except ClientError as error:
            raise _missing_or(error) from error

    def write_if(self, bucket: str, key: str, data: bytes, version: str | None) -> str | None:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        try:
            reply = self._client.put_object(Bucket=bucket, Key=key, Body=data, **condition)
            return str(reply["ETag"])
        except ClientError as error:
            if _status(error) in (404, 409, 412):
                return None
            if _status(error) == 501:
                raise NotImplementedError from error
            raise


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _missing_or(error: ClientError) -> Exception:
    return FileNotFoundError() if _status(error) == 404 else error
