"""CPU time per image of everything but the models, stage by stage.

Photographs of 1024 x 768 px go through the stages' own code, one stage after the other, in one
process, with the replies of a simulated server. Then a whole build of the same images is measured,
requests and Beam included; the difference is the row "client, Beam, the rest". The last row is the
time in which Pillow decodes and encodes such an image in full: a pipeline without reduced decoding
would spend it in every stage that uses the image.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from PIL import Image

from bench.fixed_detector import Fixed
from bench.inputs import write_tars
from bench.measure import WORK, build, config, server, verdict
from bench.simulated_server import answer
from finehard.dataset.layout import ShardsConfig
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.dataset.writer import write_shard
from finehard.detect import DetectConfig
from finehard.detect.boxes import select
from finehard.images import ImagesConfig, header
from finehard.lmm.choices import probabilities
from finehard.lmm.question import Question, messages
from finehard.lmm.reply import parse_reply
from finehard.negatives import Negatives, NegativesConfig
from finehard.phrases import PhrasesConfig, extractor
from finehard.records import Bytes, Phrase, Record, Region, Usage, sample_json
from finehard.sources import Loaded, SourceConfig, discover, read, units
from finehard.stages.caption import Caption, CaptionConfig
from finehard.stages.regions import Regions, RegionsConfig
from finehard.stages.verify import Verify, VerifyConfig
from finehard.state.journal import Entry, Journal
from finehard.worker.images import Images

GOAL_MS = 40.0


class Table:
    """Milliseconds of CPU time per image, by name of the step."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        """Returns `work(item)` for each of `items`; adds the time under `name`."""
        started = time.process_time()
        results = [work(item) for item in items]
        ms = 1000 * (time.process_time() - started) / len(items)
        self.ms[name] = self.ms.get(name, 0.0) + ms
        return results


def run_stages(table: Table, images: int) -> None:
    """Runs the images through all stages, one stage at a time."""
    limits, source = ImagesConfig(), SourceConfig()
    folder = WORK / f"photo-{images}"
    started = time.process_time()
    loaded = [
        item
        for file in discover(str(folder), SourceConfig())
        for unit in units(file, source)
        for item in read(unit, source)
        if isinstance(item, Loaded)
    ]
    table.ms["read"] = 1000 * (time.process_time() - started) / len(loaded)

    def with_header(item: Loaded) -> Record:
        info = header(item.data, limits)
        return replace(
            item.record, sha256=hashlib.sha256(item.data).hexdigest(), format=info.format,
            width=info.width, height=info.height,
        )  # fmt: skip

    records = table.timed("hash, header", with_header, loaded)
    store = Images(replace(limits, cache_bytes=1 << 40), lambda record: b"")
    for record, item in zip(records, loaded, strict=True):
        store.put(record, item.data)
    table.timed("decode, resize", store.pixels, records)
    records = run_stage(table, store, Caption(CaptionConfig()), records)
    extract = extractor(PhrasesConfig())

    def with_phrases(record: Record) -> Record:
        phrases = extract(record.long_caption).phrases
        return replace(record, phrases=tuple(Phrase(p.text, p.head, p.long) for p in phrases))

    records = table.timed("phrases", with_phrases, records)
    detector, detect = Fixed(), DetectConfig()

    def with_regions(record: Record) -> Record:
        [raw] = detector.detect([], [[phrase.text for phrase in record.phrases]])
        boxes, _ = select(raw, detect, record.width, record.height)
        regions = [
            Region(d.box, d.score, p.text, p.text, p.long)
            for d in boxes
            for p in [record.phrases[d.phrase]]
        ]
        return replace(record, regions=tuple(regions))

    records = table.timed("box selection", with_regions, records)
    stages = (Regions(RegionsConfig()), Negatives(NegativesConfig()), Verify(VerifyConfig()))
    for stage in stages:
        records = run_stage(table, store, stage, records)
    write(table, records)


def run_stage(table: Table, store: Images, stage: Any, records: list[Record]) -> list[Record]:
    """Runs a stage that asks a model: questions, crops, request bodies, replies."""
    questions = table.timed(f"{stage.name}: question", stage.questions, records)
    pairs = list(zip(records, questions, strict=True))
    views = table.timed(
        f"{stage.name}: cut out, encode",
        lambda p: [tuple(store.views(p[0], q.views)) if q.views else () for q in p[1]],
        pairs,
    )

    def bodies(item: Any) -> list[bytes]:
        (_, asks), stage_views = item
        result = []
        for ask, images in zip(asks, stage_views, strict=True):
            question = Question(stage.name, ask.text, ask.schema, ask.max_tokens, images)
            body = {"messages": messages(question), "schema": ask.schema.value}
            result.append(orjson.dumps(body))
        return result

    table.timed(f"{stage.name}: request body", bodies, list(zip(pairs, views, strict=True)))
    replies = [
        [orjson.dumps(answer(stage.name, a.text, [record.key], a.schema.value)).decode()
         for a in asks]
        for record, asks in pairs
    ]  # fmt: skip

    def answered(item: Any) -> Record:
        (record, asks), texts = item
        values = []
        for reply, ask in zip(texts, asks, strict=True):
            value = parse_reply(reply, ask.schema)
            if ask.choices:
                value = probabilities(value, ask.choices, reply, {})
            values.append(value)
        return stage.answer(record, values)

    return table.timed(f"{stage.name}: reply", answered, list(zip(pairs, replies, strict=True)))


def write(table: Table, records: list[Record]) -> None:
    """Writes journal and shard."""
    output = WORK / "cpu" / "shard"
    shutil.rmtree(output, ignore_errors=True)
    journal = Journal(str(output))
    usage = Usage(1, 1000, 500)

    def journal_replies(record: Record) -> None:
        for stage in ("caption", "regions", "negatives", "verify", "detect"):
            value = {"text": record.long_caption * 2}
            journal.put(f"{stage}/x", record.unit, record.key, Entry(value, usage))

    started = time.process_time()
    for record in records:
        journal_replies(record)
    for unit in {record.unit for record in records}:
        journal.finish(unit)
    journal.close()
    table.ms["journal"] = 1000 * (time.process_time() - started) / len(records)
    side = output / "records.bin"

    def pack_record(record: Record) -> tuple[Record, bytes]:
        item = {"sample": sample_json(record, {}), "image": list(record.image)}
        return record, pack({**item, "usage": {}, "dropped": {}})

    pointers, offset = [], 0
    with open(side, "wb") as file:
        for record, data in table.timed("pack", pack_record, records):
            file.write(data)
            where = Bytes(str(side), offset, len(data))
            pointers.append(Pointer(record.key, record.source, where))
            offset += len(data)
    started = time.process_time()
    write_shard(str(output), "run", 0, 1, pointers, ShardsConfig(), ImagesConfig())
    table.ms["shard"] = 1000 * (time.process_time() - started) / len(records)


def pillow(images: int) -> float:
    """Returns the milliseconds in which Pillow decodes and encodes such an image in full."""
    [tar] = discover(str(WORK / f"photo-{images}"), SourceConfig())[:1]
    unit = next(units(tar, SourceConfig()))
    samples = [i.data for i in read(unit, SourceConfig()) if isinstance(i, Loaded)][:32]
    started = time.process_time()
    for data in samples:
        Image.open(io.BytesIO(data)).convert("RGB").save(io.BytesIO(), "JPEG", quality=90)
    return 1000 * (time.process_time() - started) / len(samples)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    args = parser.parse_args()
    write_tars(WORK / f"photo-{args.images}", args.images, 1024, 768, 74)
    import webdataset  # noqa: F401  (its import is no cost of an image)

    table = Table()
    run_stages(table, args.images)
    with server("--slots", "256", "--least-s", "0", "--most-s", "0") as url:
        settings, output = config(WORK / "cpu", url), WORK / "cpu" / "out"
        shutil.rmtree(output, ignore_errors=True)
        small = WORK / "photo-16"
        write_tars(small, 16, 1024, 768, 74)
        small_run = build(settings, small, output)
        shutil.rmtree(output)
        run = build(settings, WORK / f"photo-{args.images}", output)
    whole = 1000 * (run.cpu_s - small_run.cpu_s) / (args.images - 16)
    print(f"{args.images} images of 1024 x 768 px")
    print(f"{'stage':<28} {'CPU ms/image':>12}")
    for name, ms in table.ms.items():
        print(f"{name:<28} {ms:12.2f}")
    measured = sum(table.ms.values())
    print(f"{'client, Beam, the rest':<28} {max(0.0, whole - measured):12.2f}")
    print(f"{'whole build':<28} {whole:12.2f}")
    print(f"{'(Pillow: decode + encode)':<28} {pillow(args.images):12.2f}")
    return 0 if verdict("CPU_PER_IMAGE", whole, GOAL_MS, False, " ms") else 1


if __name__ == "__main__":
    sys.exit(main())
