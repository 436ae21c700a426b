"""Pictures of evaluation sets, by fingerprint: a file for each set, and what is a copy of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from finehard.curate.bands import BANDS, Hashes
from finehard.curate.candidates import Between, verified
from finehard.curate.compare import Look
from finehard.curate.config import CopiesConfig
from finehard.curate.fingerprint import THUMBNAIL, VERSION, VIEWS, Fingerprint
from finehard.curate.reason import Reason
from finehard.errors import UsageError, error_line
from finehard.io import storage

_VERSION = b"finehard.fingerprint"
_PIXELS = THUMBNAIL * THUMBNAIL * 3
SCHEMA = pa.schema(
    [
        ("set", pa.string()),
        ("key", pa.string()),
        ("sha256", pa.string()),
        ("hashes", pa.binary(VIEWS * 8)),
        ("thumbnail", pa.binary(_PIXELS)),
        ("top", pa.float64()),
        ("bottom", pa.float64()),
    ],
    {_VERSION: str(VERSION)},
)
"""A row per picture; hashes are little-endian, thumbnails 24 x 24 RGB."""
_ROWS = 4096


class EvaluationPicture(NamedTuple):
    """A picture of an evaluation set: its key there, the SHA-256 of its file, its fingerprint."""

    key: str
    sha256: str
    fingerprint: Fingerprint


def write_fingerprints(uri: str, name: str, pictures: Iterable[EvaluationPicture]) -> int:
    """Writes the file of set `name`, whole or not at all; returns how many pictures it has."""
    count = 0
    rows: list[dict[str, object]] = []
    with (
        storage.writing(uri) as file,
        pq.ParquetWriter(file, SCHEMA, compression="zstd") as parquet,
    ):
        for picture in pictures:
            rows.append(row_of(name, picture))
            count += 1
            if len(rows) == _ROWS:
                parquet.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        parquet.write_table(pa.Table.from_pylist(rows, SCHEMA))
    return count


def row_of(name: str, picture: EvaluationPicture) -> dict[str, object]:
    """Returns the row of a picture of set `name`, as in `SCHEMA`."""
    hashes, thumbnail, (top, bottom) = picture.fingerprint
    return {
        "set": name, "key": picture.key, "sha256": picture.sha256,
        "hashes": hashes.astype("<u8").tobytes(), "thumbnail": thumbnail.tobytes(),
        "top": top, "bottom": bottom,
    }  # fmt: skip


class Evaluation:
    """The pictures of some evaluation sets, in memory: about 5 KB each."""

    def __init__(self, table: pa.Table, config: CopiesConfig) -> None:
        """`table` has the columns of `SCHEMA`."""
        self._names = [
            f"{key} of {name}"
            for key, name in zip(
                table.column("key").to_pylist(), table.column("set").to_pylist(), strict=True
            )
        ]
        self._by_sha256 = {sha256: n for n, sha256 in enumerate(table["sha256"].to_pylist())}
        self._thumbnails = _bytes(table, "thumbnail").reshape(-1, THUMBNAIL, THUMBNAIL, 3)
        hashes = _bytes(table, "hashes").view("<u8").reshape(-1, VIEWS).astype(np.uint64)
        edges = (table.column(side).to_pylist() for side in ("top", "bottom"))
        self._edges = list(zip(*edges, strict=True))
        self._config = config
        self._between = Between(hashes, config, range(BANDS))

    def __len__(self) -> int:
        return len(self._names)

    def copied(self, sha256: str) -> Reason | None:
        """Returns the reason for an image with the bytes of one in the sets; None for others."""
        number = self._by_sha256.get(sha256)
        return None if number is None else Reason("evaluation_image", self._names[number])

    def copies(self, hashes: Hashes, looks: Sequence[Look]) -> dict[int, Reason]:
        """Returns the reasons for those of some pictures, by number, that are copies of one in the
        sets; `hashes` is (m, VIEWS)."""
        pairs = self._between.pairs(hashes)
        found: dict[int, tuple[float, Reason]] = {}
        for ours, number, distance, difference in verified(
            pairs, self._look, looks.__getitem__, self._config
        ):
            if number not in found or difference < found[number][0]:
                detail = f"{self._names[ours]} ({distance} bits, difference {difference:.1f})"
                found[number] = difference, Reason("evaluation_image", detail)
        return {number: reason for number, (_, reason) in found.items()}

    def copy(self, picture: Fingerprint) -> Reason | None:
        """Returns the reason for a picture that is a copy of one in the sets; None for others."""
        look = picture.thumbnail, picture.edges
        return self.copies(picture.hashes[None], [look]).get(0)

    def _look(self, number: int) -> Look:
        return self._thumbnails[number], self._edges[number]


def _bytes(table: pa.Table, column: str) -> np.ndarray:
    """Returns a column of binary values of one length as bytes, one value after another."""
    values = table.column(column).combine_chunks()
    return np.frombuffer(b"".join(values.to_pylist()), np.uint8)


def read_fingerprints(files: Sequence[str]) -> pa.Table:
    """Returns the rows of files that `write_fingerprints` wrote. Raises `UsageError` where one is
    none, or is of another version of finehard's fingerprints."""
    tables = []
    for uri in files:
        try:
            with storage.open_read(storage.local(uri)) as file:
                table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"curate.evaluation: {uri}: {error_line(error, 160)}") from None
        metadata = table.schema.metadata or {}
        if _VERSION not in metadata or table.schema.names != SCHEMA.names:
            raise UsageError(f"curate.evaluation: {uri} was not written by finehard fingerprint")
        if metadata[_VERSION] != str(VERSION).encode():
            raise UsageError(
                f"curate.evaluation: {uri} has fingerprints of another version of finehard: make "
                "it again with finehard fingerprint"
            )
        tables.append(table)
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()
