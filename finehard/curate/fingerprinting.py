"""`finehard fingerprint`: images of an evaluation set -> a file of their fingerprints."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence

from finehard.curate.evaluation import EvaluationPicture, write_fingerprints
from finehard.curate.fingerprint import fingerprint
from finehard.errors import UsageError
from finehard.images import ANY_SIDE, ImageError, decode, stored
from finehard.io import storage
from finehard.records import Reject
from finehard.sources import SourceConfig, SourceFile, read, survey, units

Unread = Callable[[str], None]
"""Gets a line for each image that cannot be read."""


def fingerprint_images(
    sources: Sequence[str], output: str, name: str | None = None, unread: Unread = print
) -> int:
    """Writes the fingerprints of all images in `sources` (folders, tars, Parquet, lists) to the
    file `output`; returns how many there are.

    `name` is what reasons call the set (None: the file's name). Raises `UsageError` where a source
    does not exist or all of them hold no readable image.
    """
    target = storage.local(output)
    name = name or os.path.basename(target).rpartition(".")[0] or os.path.basename(target)
    config = SourceConfig()
    files = [file for source in sources for file in survey(source, config).files]
    count = write_fingerprints(target, name, _pictures(files, config, unread))
    if not count:
        storage.delete([target])
        raise UsageError(f"no image of {', '.join(sources)} can be read: {output} is not written")
    return count


def _pictures(
    files: Sequence[SourceFile], config: SourceConfig, unread: Unread
) -> Iterator[EvaluationPicture]:
    every = (unit for file in files for unit in units(file, config))
    for item in (item for unit in every for item in read(unit, config)):
        if isinstance(item, Reject):
            unread(f"{item.source}: {item.detail}")
            continue
        try:
            # as a build stores it, so that the SHA-256 is that of a sample
            data = stored(item.data, ANY_SIDE).data
            picture = decode(data, ANY_SIDE).pixels
        except ImageError as error:
            unread(f"{item.record.source}: {error}")
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        yield EvaluationPicture(item.record.key, sha256, fingerprint(picture))
