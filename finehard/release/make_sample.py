"""An item of the release and the image that it names -> a sample or a reject."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from finehard.dataset.layout import ShardsConfig
from finehard.images import ImageError, ImagesConfig, header
from finehard.images.header import MEMBERS
from finehard.io import storage
from finehard.phrases import PhrasesConfig
from finehard.records import Bytes, HardNegative, Record, Region, one_line, sample_json
from finehard.release.found_images import Located
from finehard.release.image_id import image_id, sample_key
from finehard.release.judge_texts import judge_negatives, text_judge

BAD_ITEM = "malformed_item"
REASONS = {BAD_ITEM: "an item of the release is not an object with f_path, captions and bbox_info"}
STAGE = "release"
_OUTSIDE = 0.01
"""How far a box may reach beyond the image; it is clipped then."""


@dataclass(frozen=True)
class ReleaseConfig:
    """How the release is imported."""

    defects: Literal["drop", "mark"] = "drop"
    """Whether texts with defects are left out, or stay with verified = false. A caption with one
    rejects its item, or stays as it is."""
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    phrases: PhrasesConfig = field(default_factory=PhrasesConfig)


class Made(NamedTuple):
    """What an item became: `key`, and the content of a side file, as `dataset.packed` has it."""

    key: str
    item: dict[str, Any]


class _Rejected(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)


Drop = Callable[[str, list[str]], None]


class SampleMaker:
    """Makes samples. `provenance` is what each says of the models that made it."""

    def __init__(self, config: ReleaseConfig, provenance: dict[str, Any]) -> None:
        self._config = config
        self._provenance = provenance
        self._judge = text_judge(config.phrases)

    def __call__(self, item: Any, source: str, located: Located | None, folder: str) -> Made:
        """Returns what `item` became. `source` is its place in the release, `folder` that of the
        images. An item is rejected whose image is not there (`located` is None)."""
        path = item.get("f_path") if isinstance(item, dict) else None
        named = path if isinstance(path, str) and path else source
        key = sample_key(image_id(named), named)
        dropped: dict[str, list[Any]] = {}

        def drop(rule: str, texts: list[str]) -> None:
            if texts:
                number, first = dropped.get(rule, (0, one_line(texts[0])[:200]))
                dropped[rule] = [number + len(texts), first]

        try:
            if named != path:
                raise _Rejected(BAD_ITEM, "no f_path")
            record, data_size = self._record(item, key, source, located, folder, drop)
        except _Rejected as error:
            reason, detail = error.args
            row = {"source": named, "stage": STAGE, "reason": reason,
                   "detail": one_line(detail)[:300]}  # fmt: skip
            row = {name: _storable(text) for name, text in row.items()}
            return Made(key, {"reject": row, "usage": {}, "dropped": {}})
        sample = sample_json(record, self._provenance)
        where = [record.image.uri, record.image.offset, data_size]
        return Made(key, {"sample": sample, "image": where, "usage": {}, "dropped": dropped})

    def _record(
        self, item: dict[str, Any], key: str, source: str, located: Located | None, folder: str,
        drop: Drop,
    ) -> tuple[Record, int]:  # fmt: skip
        captions = [item.get(name) for name in ("short_caption", "caption")]
        boxes = item.get("bbox_info")
        if not all(isinstance(text, str) for text in captions) or not isinstance(boxes, list):
            raise _Rejected(BAD_ITEM, "without a caption, or bbox_info is no list")
        if located is None:
            raise _Rejected("missing_image", item["f_path"])
        data = self._image(located.where)
        try:
            info = header(data, self._config.images)
        except ImageError as error:
            raise _Rejected(error.reason, error.detail) from None
        if info.format not in MEMBERS:
            detail = f"{info.format}: make it a JPEG, PNG or WebP first"
            raise _Rejected("not_an_image", detail)
        defects: dict[str, str] = {}
        short, long = (
            self._caption(name, _storable(str(text)), drop, defects)
            for name, text in zip(("short_caption", "long_caption"), captions, strict=True)
        )
        made = self._regions(boxes, drop, defects)
        if len(made) < self._config.shards.min_regions:
            few = f"{len(made)} of {self._config.shards.min_regions}"
            raise _Rejected("no_regions", few)
        released: dict[str, Any] = {"f_path": _storable(item["f_path"])}
        if not all(one.scored for one in made):
            released["scored"] = [one.scored for one in made]
        if any(one.keys != default_keys(len(one.keys)) for one in made):
            released["negative_keys"] = [one.keys for one in made]
        if defects:
            released["defects"] = defects
        place = located.where
        relative = place.uri.removeprefix(folder).lstrip("/")
        record = Record(
            key, f"{relative}@{place.offset}" if place.offset else relative, "", place,
            hashlib.sha256(data).hexdigest(), None, located.url or None, None,
            info.format, info.width, info.height, short, long,
            regions=tuple(one.region for one in made),
            extra={STAGE: released},
        )  # fmt: skip
        return record, len(data)

    def _image(self, where: Bytes) -> bytes:
        if where.length > self._config.images.max_bytes:
            raise _Rejected("image_file_too_large", f"{where.length} bytes")
        try:
            return storage.read(where)
        except (OSError, EOFError) as error:
            raise _Rejected("unreadable_image", str(error)) from None

    def _caption(self, name: str, text: str, drop: Drop, defects: dict[str, str]) -> str:
        judged, cut = self._judge.caption(text, name == "long_caption")
        marks = self._config.defects == "mark"
        if judged.defect and (not marks or not text.strip()):
            raise _Rejected(judged.defect, f"{name}: {text[:200]!r}")
        if marks and (judged.defect or cut):
            defects[name] = judged.defect or "cut"
            drop(f"{STAGE}.marked.{name}.{defects[name]}", [text])
            return text
        for kind, pieces in cut.items():
            drop(f"{STAGE}.{name}.cut_{kind}", pieces)
        return judged.text

    def _regions(self, boxes: list[Any], drop: Drop, defects: dict[str, str]) -> list[_Made]:
        made = []
        for number, info in enumerate(boxes):
            one = self._region(info, drop)
            if one is None:
                continue
            if one.defect and self._config.defects == "drop":
                drop(f"{STAGE}.{one.defect}", [one.region.short_expr])
                continue
            if one.defect:
                defects[f"region {number}"] = one.defect
                drop(f"{STAGE}.marked.{one.defect}", [one.region.short_expr])
            made.append(one)
        return made

    def _region(self, info: Any, drop: Drop) -> _Made | None:
        texts = [
            info.get(n) if isinstance(info, dict) else None for n in ("short_expr", "long_expr")
        ]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            drop(f"{STAGE}.region_without_text", [str(info)[:200]])
            return None
        short, long = (_storable(str(text)) for text in texts)
        place = _place(info.get("bbox"))
        if place is None:
            drop(f"{STAGE}.bad_box", [f"{short}: {info.get('bbox')}"[:200]])
            return None
        defect = self._judge.short_expr(short)
        defect = f"short_expr.{defect}" if defect else ""
        if not defect and long != short and (of_long := self._judge.long_expr(long)):
            defect = f"long_expr.{of_long}"
        given = info.get("short_expr_negs")
        texts_of = (
            {str(k): _storable(v) if isinstance(v, str) else v for k, v in given.items()}
            if (isinstance(given, dict))
            else {}
        )
        judged = judge_negatives(short, texts_of)
        marks = self._config.defects == "mark"
        for rule, refused in judged.refused.items():
            drop(f"{STAGE}.{'marked.' if marks else ''}negatives.{rule}", refused)
        negatives: list[HardNegative] = judged.valid + (judged.marked if marks else [])
        region = Region(
            place.box, place.score if place.score is not None else 1.0, short, short, long,
            tuple(negatives), False if defect and marks else None,
        )  # fmt: skip
        return _Made(region, place.score is not None, judged.keys, defect)


class _Made(NamedTuple):
    """A region, whether its box had a score, its negatives' keys in the release, its defect."""

    region: Region
    scored: bool
    keys: list[str]
    defect: str


class _Place(NamedTuple):
    box: tuple[float, float, float, float]
    score: float | None


def default_keys(number: int) -> list[str]:
    """Returns the keys that an export gives to a region's negatives."""
    return [f"neg_{n}" for n in range(number)]


def _place(bbox: Any) -> _Place | None:
    """Returns box and score of `bbox` (x1, y1, x2, y2, perhaps score); None if they are none."""
    if not isinstance(bbox, list) or not 4 <= len(bbox) <= 5:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in bbox):
        return None
    if not all(math.isfinite(v) and -_OUTSIDE <= v <= 1 + _OUTSIDE for v in bbox):
        return None
    x1, y1, x2, y2, *score = (min(1.0, max(0.0, float(v))) for v in bbox)
    if not (x1 < x2 and y1 < y2):
        return None
    return _Place((x1, y1, x2, y2), score[0] if score else None)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
