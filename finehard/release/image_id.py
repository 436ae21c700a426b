"""The number of an image of the release, whichever way a file names it.

The same image is called `data/down-grit-12m/coyo_image_0/00069/00000/000009825.jpg` in one copy of
the annotations and `grit-20m/data-12m/coyo_image_0/00069/000699825.jpg` in the other: sub-set 0,
list 00069, row 9825. The first path has img2dataset's folder and key within that list, 5 digits of
a folder and 4 of a row in it; the second the list's number before the row.
"""

from __future__ import annotations

import re

from finehard.digest import number
from finehard.sources.source import safe_key

_BY_FOLDER = re.compile(r"(?:^|/)coyo_image_(\d{1,3})/(\d{5})/(\d{5})/(\d{5})(\d{4})(?:\.\w+)?$")
_BY_LIST = re.compile(r"(?:^|/)coyo_image_(\d{1,3})/(\d{5})/(\d{5})(\d{4})(?:\.\w+)?$")
_KEY = re.compile(r"(\d{5})(\d{4})")
_ROWS = 10**9
_OTHER = 1 << 63
"""Set in the numbers of images that no published path names: hashes of their own path."""


def image_id(path: str) -> int:
    """Returns the number, of 64 bits, of the image that an `f_path` or a file's path names."""
    if found := _BY_FOLDER.search(path):
        subset, listed, folder, again, row = found.groups()
        if folder == again:
            return _numbered(subset, listed, int(folder) * 10_000 + int(row))
    if found := _BY_LIST.search(path):
        subset, listed, again, row = found.groups()
        if listed == again:
            return _numbered(subset, listed, int(row))
    return number(path) | _OTHER


def is_published(image: int) -> bool:
    """Returns whether a number is that of a published path."""
    return image < _OTHER


def keyed_id(subset: int, key: str) -> int | None:
    """Returns the number of `key` in the URL table of a sub-set, where a key is the name in the
    second form, or a path that ends in either; None for any other key."""
    if found := _KEY.fullmatch(key.rpartition("/")[2].partition(".")[0]):
        listed, row = found.groups()
        path = key if "/" in key else f"{listed}/{key}"
        path = path if "coyo_image_" in path else f"coyo_image_{subset}/{path}"
        named = image_id(path)
        return named if is_published(named) else _numbered(str(subset), listed, int(row))
    return None


def _numbered(subset: str, listed: str, row: int) -> int:
    return (int(subset) * 100_000 + int(listed)) * _ROWS + row


def subset_of(image: int) -> str:
    """Returns the sub-set that an image is of; "other" where its path is not a published one."""
    return f"coyo_image_{image // _ROWS // 100_000}" if is_published(image) else "other"


def sample_key(image: int, path: str) -> str:
    """Returns the key of the sample: equal for both forms of a path."""
    if not is_published(image):
        return safe_key(path.rpartition(".")[0] or path)
    lists, row = divmod(image, _ROWS)
    return f"coyo_{lists // 100_000}_{lists % 100_000:05d}_{row:05d}"
