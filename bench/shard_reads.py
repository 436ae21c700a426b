"""What a shard's writer reads from an emulated S3: requests, bytes and time.

The samples are a tar's neighbours, as img2dataset leaves them; the fewer shards, the nearer are
those of one shard. Needs the packages of the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from bench.care import item
from bench.measure import verdict
from finehard.dataset import pointers
from finehard.dataset.layout import shard_of
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer, in_order
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes
from tests.io import emulators

GOAL = 1.0
_UNIT, _TAR = 256, 1000
"""Samples of a side file, and of a tar."""
_WAYS: dict[str, Callable[[list[Pointer]], Iterator[object]]] = {
    "singly": lambda of_shard: ordered_map(pointers._fetch, sorted(of_shard)),
    "as built": in_order,
}
"""Each sample by two reads, 16 at a time; and as the writer reads a shard."""


def make(root: str, samples: int, image_bytes: int) -> list[Pointer]:
    """Writes images and finished samples as a build leaves them; returns their locations."""
    rng = np.random.default_rng(7)
    made: list[Pointer] = []
    tar, packed = bytearray(), bytearray()
    for number in range(samples):
        data = rng.bytes(int(image_bytes * rng.uniform(0.5, 1.5)))
        where = Bytes(f"{root}/in/{number // _TAR:05d}.tar", len(tar), len(data))
        tar += data + bytes(1536)  # headers and JSON of the sample
        key = f"{number:09d}"
        payload = pack(item(where, key, hashlib.sha256(data).hexdigest()))
        side = f"{root}/side/{number // _UNIT:05d}.bin"
        made.append(Pointer(key, key, Bytes(side, len(packed), len(payload))))
        packed += payload
        if (number + 1) % _TAR == 0 or number + 1 == samples:
            storage.write(where.uri, bytes(tar))
            tar.clear()
        if (number + 1) % _UNIT == 0 or number + 1 == samples:
            storage.write(side, bytes(packed))
            packed.clear()
    return made


class _Counted:
    """Counts ranges that are read, and their bytes."""

    def __init__(self) -> None:
        self.requests = self.bytes = 0
        self._before = storage.read

    def __enter__(self) -> _Counted:
        def read(where: Bytes) -> bytes:
            self.requests += 1
            self.bytes += where.length
            return self._before(where)

        storage.read = read
        return self

    def __exit__(self, *_: object) -> None:
        storage.read = self._before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--image-kb", type=int, default=30)
    parser.add_argument("--shards", type=int, nargs="+", default=[400, 40, 4])
    args = parser.parse_args()
    print(f"{'shards':>7} {'samples':>8} {'read':10} {'requests':>8} {'a sample':>9} {'MB':>8} "
          f"{'ms a sample':>12}")  # fmt: skip
    with emulators.start("s3") as emulator:
        storage.configure(emulator.options)
        made = make(emulator.root, args.samples, args.image_kb << 10)
        for shards in args.shards:
            of_shard = [p for p in made if shard_of(p.key, shards) == 0]
            list(in_order(of_shard[:1]))  # connects
            for way, function in _WAYS.items():
                began = time.perf_counter()
                with _Counted() as counted:
                    for _ in function(of_shard):
                        pass
                taken, number = time.perf_counter() - began, len(of_shard)
                requests = counted.requests / number
                print(f"{shards:7} {number:8} {way:10} {counted.requests:8} {requests:9.2f} "
                      f"{counted.bytes / 1e6:8.1f} {1e3 * taken / number:12.2f}")  # fmt: skip
    return 0 if verdict("REQUESTS_A_SAMPLE", requests, GOAL, False) else 1


if __name__ == "__main__":
    sys.exit(main())
