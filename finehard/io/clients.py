"""Clients of object stores, kept: Beam makes a new one for every operation, which on S3 takes a
tenth of a second of CPU, and reads 16 MB where a few bytes are wanted."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from apache_beam.io.filesystems import CompressionTypes, FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, S3Options
from apache_beam.utils import retry

_CONNECTIONS = 64
"""To one store; threads that find none free open one of their own."""
_S3 = ("access_key_id", "secret_access_key", "session_token", "endpoint_url", "disable_ssl",
       "region_name", "api_version", "verify")  # fmt: skip


def options() -> PipelineOptions:
    """The options that Beam's FileSystems were given."""
    return FileSystems._pipeline_options or PipelineOptions([])


def s3() -> Any:
    """The boto3 client of this process for `options`. Safe for threads."""
    told = options().view_as(S3Options)
    return _boto(*(getattr(told, f"s3_{name}") for name in _S3))


@lru_cache(maxsize=8)
def _boto(
    access_key_id: str | None,
    secret_access_key: str | None,
    session_token: str | None,
    endpoint_url: str | None,
    disable_ssl: bool,
    region_name: str | None,
    api_version: str | None,
    verify: str | bool | None,
) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        region_name=region_name,
        api_version=api_version,
        use_ssl=not disable_ssl,
        verify=verify,
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        aws_session_token=session_token,
        config=Config(max_pool_connections=_CONNECTIONS, connect_timeout=20),
    )


class _Kept(threading.local):
    """Google's clients of a thread: they are not made for several."""

    def __init__(self) -> None:
        self.clients: dict[tuple[int, bool], Any] = {}


_kept = _Kept()
_generation = 0


def forget() -> None:
    """Lets go of all clients: options or credentials have changed."""
    global _generation
    _generation += 1
    _kept.clients.clear()
    _boto.cache_clear()


def read_range(uri: str, offset: int, length: int) -> bytes:
    """`length` bytes of an object from `offset`, fewer where it ends before. Raises what the
    store's library raises."""
    scheme, _, place = uri.partition("://")
    bucket, _, name = place.partition("/")
    if scheme == "s3" and length:
        return _s3_range(bucket, name, f"bytes={offset}-{offset + length - 1}")
    if scheme == "gs" and length:
        return _gs_range(bucket, name, offset, length)
    with FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.seek(offset)
        return bytes(file.read(length))


def _passes(error: BaseException) -> bool:
    """Whether an error of S3 can pass: no answer, too busy, or the server's own."""
    response = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status is None or status >= 500 or status in (408, 429)


@retry.with_exponential_backoff(num_retries=5, initial_delay_secs=1, retry_filter=_passes)
def _s3_range(bucket: str, name: str, span: str) -> bytes:
    from botocore.exceptions import ClientError

    try:
        return bytes(s3().get_object(Bucket=bucket, Key=name, Range=span)["Body"].read())
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 416:
            return b""  # it ends before
        raise


def _gs_range(bucket: str, name: str, offset: int, length: int) -> bytes:
    from apache_beam.io.gcp import gcsio
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    blob = gcsio.create_storage_client(options()).bucket(bucket).blob(name)
    try:
        end = offset + length - 1
        return bytes(blob.download_as_bytes(start=offset, end=end, raw_download=True))
    except RequestRangeNotSatisfiable:
        return b""


def _share_s3() -> None:
    from apache_beam.io.aws import s3io
    from apache_beam.io.aws.clients.s3 import boto3_client

    class Client(boto3_client.Client):  # type: ignore[misc]
        """Beam's, with the process's connections; where it is in an object stays its own."""

        def __init__(self, options: Any) -> None:
            self.client = s3()
            self._download_request = self._download_stream = None
            self._download_pos = 0

    s3io.boto3_client.Client = Client


def _share_gs() -> None:
    from apache_beam.io.gcp import gcsio

    make = gcsio.create_storage_client

    def create_storage_client(pipeline_options: Any, use_credentials: bool = True) -> Any:
        key = (_generation, use_credentials)
        if key not in _kept.clients:
            _kept.clients[key] = make(pipeline_options, use_credentials)
        return _kept.clients[key]

    gcsio.create_storage_client = create_storage_client


def share() -> None:
    """Makes Beam's file systems take the clients that are kept here; once in a process.

    Commands that run no pipeline have no options; S3 wants some, even if they say nothing.
    """
    FileSystems.set_options(options())
    for done in (_share_s3, _share_gs):
        try:
            done()
        except ImportError:
            continue  # without the extra, `stores.reach` says so
