"""Asks an object store once whether it can be used, before Beam asks it with minutes of retries."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from apache_beam.io.filesystems import FileSystems

from finehard.errors import FinehardError, UsageError
from finehard.io import clients

_WAIT_S = 10.0
"""For one answer of the store."""


def reach(uri: str) -> None:
    """Returns when the bucket of `uri` answers, whatever it answers about permissions.

    Raises `UsageError` where no store has such URIs, and `FinehardError` where there are no
    credentials, no such bucket, or no answer. A bucket that answered once is not asked again.
    """
    _reach("/".join(uri.split("/", 3)[:3]))


@lru_cache(maxsize=64)
def _reach(root: str) -> None:
    scheme, _, bucket = root.partition("://")
    try:
        FileSystems.get_filesystem(root)
    except ValueError:
        extra = {"gs": " (install finehard[gcp])", "s3": " (install finehard[aws])"}.get(scheme, "")
        raise UsageError(
            f"cannot use {root}: Beam has no file system for {scheme}://{extra}; local paths, "
            "gs:// and s3:// can be read and written"
        ) from None
    with _told(root):
        if scheme == "s3":
            _reach_s3(bucket)
        elif scheme == "gs":
            _reach_gs(bucket)


def forget() -> None:
    """Asks every bucket again: options or credentials have changed."""
    _reach.cache_clear()


@contextmanager
def _told(root: str) -> Iterator[None]:
    try:
        yield
    except FinehardError:
        raise
    except Exception as error:  # every store has its own exceptions
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise FinehardError(f"cannot reach {root}: {line}") from error


def _reach_s3(bucket: str) -> None:
    from botocore.exceptions import ClientError, NoCredentialsError

    try:
        clients.s3().head_bucket(Bucket=bucket)
    except NoCredentialsError:
        raise FinehardError(
            f"no credentials for s3://{bucket}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or choose a profile (AWS_PROFILE)"
        ) from None
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise FinehardError(f"there is no bucket s3://{bucket}") from None


def _reach_gs(bucket: str) -> None:
    from apache_beam.io.gcp import gcsio
    from google.api_core.exceptions import Forbidden, NotFound, Unauthorized

    anonymous = _without_credentials()
    client = gcsio.create_storage_client(clients.options(), use_credentials=not anonymous)
    listed: Any = client.list_blobs(bucket, max_results=1, timeout=_WAIT_S, retry=None)
    try:
        next(iter(listed), None)
    except NotFound:
        raise FinehardError(f"there is no bucket gs://{bucket}") from None
    except (Forbidden, Unauthorized):
        if anonymous:
            raise FinehardError(
                f"no credentials for gs://{bucket}, which is not public: run `gcloud auth "
                "application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
            ) from None


def _without_credentials() -> bool:
    """Whether Google's libraries find no credentials; Beam is told not to look for them again."""
    import google.auth
    from apache_beam.internal.gcp.auth import _Credentials
    from google.auth.exceptions import DefaultCredentialsError

    try:
        if "STORAGE_EMULATOR_HOST" not in os.environ:
            google.auth.default()
            return False
    except DefaultCredentialsError:
        pass
    _Credentials._credentials_init = True  # else it looks five times, and logs every failure
    return True


def _first_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = record.getMessage().split("\n", 1)[0], ()
    return True


# Beam logs a traceback with each retry.
logging.getLogger("apache_beam.utils.retry").addFilter(_first_line)
