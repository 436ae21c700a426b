"""Fuzzing: files, replies and journal parts, damaged at random, are read as a build reads them.

Allowed are rejects, `FinehardError` and the documented errors of each part; anything else is a
crash, and a case that takes too long is a hang. Inputs that crash are written to `--found`, to
become tests. The same seed gives the same cases. Goal: 0 crashes and hangs.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import random
import signal
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.measure import WORK, verdict
from bench.simulated_server import answer
from finehard.errors import FinehardError
from finehard.images import ImageError, ImagesConfig, decode, header
from finehard.lmm.choices import probabilities
from finehard.lmm.reply import InvalidReply, parse_reply
from finehard.records import Reject, Usage
from finehard.rejects import REASONS
from finehard.schemas import reply_schema
from finehard.sources import SourceConfig, discover, read, units
from finehard.state.journal import Entry, Journal

Case = tuple[Callable[[bytes], None], bytes]
HANG_S = 30
_SIDE = 48
_TOKENS = (
    *(b"\0", b"\xff", b"\n", b"{", b"[", b'"', b"\\ud800", b"NaN", b"1e999", b"../", b"-1"),
    *(b"ustar\0", b"PAR1", b"99999999999", b"\xed\xa0\x80", b"\x80" + b"\xff" * 11),
)
"""Bytes that have a meaning in one of the formats, inserted now and then."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Returns `data` with up to six stretches flipped, removed, doubled, copied or replaced."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        length = min(len(changed) - at, int(2 ** chance.uniform(0, 12)))
        match chance.randrange(7):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + length] = chance.randbytes(length)
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                other = chance.randrange(len(changed))
                changed[at : at + length] = changed[other : other + length]
            case 5:
                piece = chance.choice(_TOKENS)
                changed[at : at + len(piece)] = piece
            case _:
                changed[at:at] = chance.choice(_TOKENS) * chance.choice((1, 1, 1, 500))
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)


def _picture(kind: str, seed: int) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((_SIDE, _SIDE + seed)).convert("RGB").save(out, kind)
    return out.getvalue()


def _tar(kind: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for number, suffix in enumerate(("JPEG", "PNG", "WEBP")):
            long = "x" * (90 if number == 1 else 1)
            meta = {"caption": f"c {number}", "url": "http://x.test/", "license": "CC0"}
            for name, data in (
                (f"{long}{number}.{suffix.lower()}", _picture(suffix, number)),
                (f"{long}{number}.json", json.dumps(meta).encode()),
                (f"{long}{number}.txt", b"text"),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _parquet(**options: Any) -> bytes:
    out = io.BytesIO()
    columns = {
        "key": [f"k{n}" for n in range(6)],
        "image": [_picture("JPEG", n) for n in range(6)],
        "caption": [f"a text {n}" if n else None for n in range(6)],
    }
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def _sources(folder: Path, chance: random.Random) -> Iterator[Case]:
    seeds = [("a.tar", _tar(kind)) for kind in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT,
                                                tarfile.GNU_FORMAT)]  # fmt: skip
    seeds += [
        ("a.parquet", _parquet()),
        ("a.parquet", _parquet(row_group_size=2, compression="none", use_dictionary=False)),
    ]
    seeds += [("a.jpg", _picture("JPEG", 0)), ("a.png", _picture("PNG", 0)),
              ("a.webp", _picture("WEBP", 0))]  # fmt: skip
    config, images = SourceConfig(unit_size=2), ImagesConfig()

    def case(name: str, data: bytes) -> None:
        path = folder / name
        path.write_bytes(data)
        [file] = discover(str(path if path.suffix in (".tar", ".parquet") else folder), config)
        for unit in units(file, config):
            for item in read(unit, config):
                if isinstance(item, Reject):
                    assert item.reason in REASONS, item.reason
                    assert "\n" not in item.detail
                    continue
                try:
                    header(item.data, images)
                    decode(item.data, images)
                except ImageError as error:
                    assert error.reason in REASONS

    while True:
        for old in folder.iterdir():
            old.unlink()
        name, good = chance.choice(seeds)
        yield partial(case, name), mutated(good, chance)


def _replies(_: Path, chance: random.Random) -> Iterator[Case]:
    seeds = []
    for name, number in (("caption", 0), ("regions", 3), ("negatives", 3), ("verify", 4)):
        schema = reply_schema(name, number)
        text = "\n".join(f"{n}. a red mug" for n in range(1, number + 1))
        value = answer(name, text, [], schema.value)
        seeds += [(schema, json.dumps(value)), (schema, f"```json\n{json.dumps(value)}\n```")]
    tokens = {"logprobs": {"content": [
        {"token": '"yes"', "logprob": -0.1, "top_logprobs": [{"token": "no", "logprob": -2}]}
    ] * 30}}  # fmt: skip

    def case(schema: Any, choice: Any, data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape" if len(data) % 2 else "replace")
        try:
            value = parse_reply(text, schema)
            assert schema.why_invalid(value) is None
            json.dumps(probabilities(value, ("yes", "no"), text, choice))
        except InvalidReply as error:
            assert "\n" not in str(error) and len(str(error)) < 2000

    while True:
        schema, good = chance.choice(seeds)
        try:
            choice = orjson.loads(mutated(json.dumps(tokens).encode(), chance))
        except ValueError:
            choice = tokens
        choice = choice if isinstance(choice, dict) else {}
        yield partial(case, schema, choice), mutated(good.encode(), chance)


def _journal(folder: Path, chance: random.Random) -> Iterator[Case]:
    rows = {f"q{n}": Entry({"answer": [n, "x" * n, None]}, Usage(1, n, n)) for n in range(20)}
    journal = Journal(str(folder))
    for key, entry in rows.items():
        journal.put("caption/0", "u", key, entry)
    journal.close()
    [part] = (folder / "_journal/caption/0").rglob("part-*")
    good = part.read_bytes()

    def case(data: bytes) -> None:
        part.write_bytes(data)
        journal = Journal(str(folder))
        try:
            entries = [journal.get("caption/0", "u", key) for key in rows]
            expected = list(rows.values()) if data == good else [None] * len(rows)
            assert entries == expected, "damaged data was returned as an answer"
        finally:
            journal.close()

    while True:
        data = mutated(good, chance)
        yield case, good if chance.random() < 0.05 else data


TARGETS = {"sources": _sources, "replies": _replies, "journal": _journal}


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"no end after {HANG_S} s")


def fuzz(name: str, seconds: float, seed: int, folder: Path) -> tuple[int, int]:
    """Returns the numbers of cases and of crashes; writes inputs that crash to `folder`."""
    chance, cases, crashes = random.Random(seed), 0, 0
    reported: set[str] = set()
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as work:
        deadline = time.monotonic() + seconds
        for case, data in TARGETS[name](Path(work), chance):
            signal.alarm(HANG_S)
            try:
                case(data)
            except FinehardError as error:
                assert "\n" not in str(error)
            except Exception as error:
                crashes += 1
                frame = traceback.extract_tb(error.__traceback__)[-1]
                crash = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
                if crash not in reported:
                    reported.add(crash)
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / f"{name}-{seed}-{cases}").write_bytes(data)
                    print(f"{name}, case {cases}: {crash}: {' '.join(str(error).split())[:200]}")
            finally:
                signal.alarm(0)
            cases += 1
            if time.monotonic() > deadline:
                break
    return cases, crashes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="default: all")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path, default=WORK / "fuzz")
    args = parser.parse_args()
    logging.getLogger("finehard").setLevel(logging.CRITICAL)  # damaged parts are logged, by design
    crashes = 0
    for name in args.targets or TARGETS:
        cases, new = fuzz(name, 60 * args.minutes, args.seed, args.found)
        print(f"{name}: {cases} cases, {new} crashes", flush=True)
        crashes += new
    return 0 if verdict("crashes and hangs", crashes, 0, at_least=False) else 1


if __name__ == "__main__":
    sys.exit(main())
