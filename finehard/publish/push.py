"""Uploads a published dataset to the Hugging Face Hub, in commits that a repeated call continues.

Shards come first and what describes them last, so that a card never speaks of what is not there.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from finehard.audit.store import AUDIT
from finehard.dataset.layout import (
    CARD,
    CROISSANT,
    INDEX,
    MANIFEST,
    REGIONS,
    REPORT,
    SHARD_NAME,
    SIZES,
)
from finehard.dataset.parts import TABLES, is_part, table_names
from finehard.dataset.reader import Dataset, open_dataset
from finehard.errors import FinehardError, UsageError, error_line
from finehard.io import storage
from finehard.publish.citation import CITATION
from finehard.publish.figures import PICTURES
from finehard.release.importing import COUNTS

T = TypeVar("T")

_OTHERS = (INDEX, REGIONS, SIZES, COUNTS, AUDIT, REPORT, CITATION, CROISSANT, CARD, MANIFEST)
"""Files beside the shards, in the order in which they are committed."""
_FILES, _BYTES = 64, 20 << 30
"""Files and bytes of a commit, at most; the Hub advises 50 to 100 files."""
_TRIES = 5
_WAIT_S = 2.0
"""Before the second try of a request; doubled for each further one."""
_log = logging.getLogger(__name__)


class Pushed(NamedTuple):
    """What an upload did: the repository's page, whether it is private, and the numbers of files
    that were committed, that were there already, and that were deleted there."""

    url: str
    private: bool
    committed: int
    there: int
    deleted: int


def push(repo: str, dataset: str, public: bool = False, squash: bool = False) -> Pushed:
    """Uploads the published copy `dataset` to the dataset repository `repo` (OWNER/NAME) on the
    Hub, creating it, private unless `public`, if there is none.

    Files that are there are not sent again, so the same call continues one that failed. Files of
    finehard's that the dataset no longer has are deleted there; other files stay. With `squash`
    the history is replaced by one commit, so that nothing removed is left in it. Raises
    `UsageError` for a dataset that is not published or a missing token, `FinehardError` if the Hub
    refuses or cannot be reached.
    """
    if storage.is_remote(dataset):
        raise UsageError(f"{dataset}: push uploads from a local folder")
    opened = open_dataset(dataset)
    files = _files(opened)
    hub = _Hub(repo)
    private = hub.create(not public)
    there = hub.listed()
    shards = {f"shards/{shard['name']}": shard for shard in opened.manifest["shards"]}
    missing = [
        name for name in files
        if name not in shards or there.get(name) != shards[name]["sha256"]
    ]  # fmt: skip
    strangers = [name for name in there if _is_ours(name) and name not in files]
    sizes = {name: os.path.getsize(os.path.join(opened.uri, name)) for name in missing}
    groups = list(_groups(missing, sizes))
    for number, group in enumerate(groups, 1):
        _log.info("commit %d of %d: %d files", number, len(groups), len(group))
        last = number == len(groups)
        hub.commit(opened.uri, group, strangers if last else [], f"part {number} of {len(groups)}")
    if squash:
        hub.squash()
    return Pushed(hub.url, private, len(missing), len(files) - len(missing), len(strangers))


def _files(dataset: Dataset) -> list[str]:
    """Returns the names of the files to upload. Raises `UsageError` if they are not all there, or
    may tell local paths."""
    if "published" not in dataset.manifest:
        raise UsageError(
            f"{dataset.uri} is no published copy and tells local paths: first finehard publish "
            f"{dataset.uri} COPY --name NAME --license ID"
        )
    shards = dataset.manifest["shards"]
    for shard in shards:
        path = os.path.join(dataset.uri, "shards", shard["name"])
        if not os.path.isfile(path) or os.path.getsize(path) != shard["bytes"]:
            raise UsageError(f"{path} is not what the manifest says: finehard validate tells more")
    stems = [shard["name"].removesuffix(".tar") for shard in shards]
    parts = (name for table in TABLES for name in table_names(dataset.uri, table))
    pictures = (file.uri for file in storage.glob(os.path.join(dataset.uri, PICTURES), ""))
    names = [
        *(f"shards/{shard['name']}" for shard in shards),
        *(f"rejected/{stem}.parquet" for stem in stems),
        *(f"{PICTURES}/{os.path.basename(path)}" for path in pictures),
        *(name for name in parts if is_part(name)),
        *_OTHERS,
    ]
    return [name for name in names if os.path.isfile(os.path.join(dataset.uri, name))]


def _is_ours(name: str) -> bool:
    """Returns whether a file of this name in a repository is one that finehard writes."""
    if is_part(name):
        return True
    folder, _, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    if folder == PICTURES:
        return suffix == "jpg"
    kinds = {"shards": "tar", "rejected": "parquet"}
    return bool(SHARD_NAME.fullmatch(stem)) and kinds.get(folder) == suffix


def _groups(names: list[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    """Yields `names` in commits; those of `_OTHERS` are together in the last."""
    group: list[str] = []
    size = 0
    for name in names:
        full = len(group) == _FILES or size + sizes[name] > _BYTES
        if group and name not in _OTHERS and full:
            yield group
            group, size = [], 0
        group.append(name)
        size += sizes[name]
    if group:
        yield group


class _Hub:
    """A repository on the Hub; every request is repeated where that can help."""

    def __init__(self, repo: str) -> None:
        try:
            import huggingface_hub
        except ImportError as error:
            raise FinehardError(f"{error}: install finehard[hub]") from None
        if huggingface_hub.get_token() is None:
            raise UsageError("no token for the Hub: run hf auth login, or set HF_TOKEN")
        self._repo = repo
        self._hub = huggingface_hub
        self._api = huggingface_hub.HfApi()
        self.url = f"{self._api.endpoint}/datasets/{repo}"

    def create(self, private: bool) -> bool:
        """Creates the repository if there is none; returns whether it is private."""
        self._call(lambda: self._api.create_repo(
            self._repo, repo_type="dataset", private=private, exist_ok=True))  # fmt: skip
        info = self._call(lambda: self._api.repo_info(self._repo, repo_type="dataset"))
        return bool(info.private)

    def listed(self) -> dict[str, str | None]:
        """Returns the files that are there, those in its large storage with their SHA-256."""
        tree = self._call(lambda: list(self._api.list_repo_tree(
            self._repo, repo_type="dataset", recursive=True)))  # fmt: skip
        files = [each for each in tree if isinstance(each, self._hub.hf_api.RepoFile)]
        return {file.path: file.lfs.sha256 if file.lfs else None for file in files}

    def commit(self, folder: str, names: list[str], gone: list[str], part: str) -> None:
        """Commits the files `names` of `folder`, and deletes the files `gone`."""

        def send() -> None:
            add, delete = self._hub.CommitOperationAdd, self._hub.CommitOperationDelete
            operations: list[Any] = [add(name, os.path.join(folder, name)) for name in names]
            operations += [delete(name) for name in gone]
            self._api.create_commit(
                self._repo, operations, repo_type="dataset",
                commit_message=f"finehard push, {part}",
            )  # fmt: skip

        self._call(send)

    def squash(self) -> None:
        """Replaces the history by one commit."""
        self._call(lambda: self._api.super_squash_history(self._repo, repo_type="dataset"))

    def _call(self, request: Callable[[], T]) -> T:
        """Returns the request's result; repeats it where the Hub is busy or out of reach."""
        from httpx import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        for number in range(_TRIES):
            try:
                return request()
            except HFValidationError as error:
                raise UsageError(f"{self._repo}: {error_line(error, 200)}") from None
            except (HfHubHTTPError, HTTPError, OSError) as error:
                response = getattr(error, "response", None)
                status = response.status_code if response is not None else None
                passing = status is None or status in (409, 412, 429) or status >= 500
                if not passing or number == _TRIES - 1:
                    raise FinehardError(
                        f"{self.url}: {error_line(error, 240)}; the same command goes on"
                    ) from None
                _log.warning("%s: %s; trying again", self.url, error_line(error, 120))
                time.sleep(_WAIT_S * 2**number)
        raise AssertionError("the last try returns or raises")
