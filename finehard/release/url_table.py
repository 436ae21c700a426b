"""The release's url2key files as one table on disk: hash of a URL -> number of its image."""

from __future__ import annotations

import re
from pathlib import Path

from finehard.digest import number
from finehard.io import storage
from finehard.release.image_id import keyed_id
from finehard.release.json_stream import pairs
from finehard.release.sorted_table import Table, TableWriter

_NAME = re.compile(r"url2key_coyo_image_(\d+)\.json")


def url_table(release: Path, folder: Path) -> tuple[Table, int]:
    """Returns the table of all url2key_coyo_image_N.json below `release`, made in `folder`, and the
    number of keys that are of no known form.

    Raises `FinehardError` if a file is damaged.
    """
    table, unknown = TableWriter(folder, [("image", "u8")]), 0
    for path in sorted(release.rglob("url2key_coyo_image_*.json")):
        if not (named := _NAME.fullmatch(path.name)):
            continue
        with storage.open_read(str(path)) as file:
            for url, key in pairs(file, str(path)):
                image = keyed_id(int(named[1]), str(key))
                if image is None:
                    unknown += 1
                else:
                    table.add(number(url), image)
    return table.finish(), unknown
