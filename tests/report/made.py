"""Datasets in which every text is hostile."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from finehard.config import as_dict, parse_config
from finehard.dataset.complete import Origin, complete, remove_side_files
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.records import HardNegative, Record, Region, sample_json
from finehard.stages.prompts import load_prompt
from finehard.stages.provenance import Provenance
from tests.dataset.finished import Store, shard
from tests.pictures import encoded, picture

HOSTILE = (
    "<script>alert(1)</script> \"double\" 'single' --></style></title></textarea> &lt; &amp "
    "<img src=x onerror=alert(2)> javascript:alert(3) url(http://evil.example/a) {{ 7*7 }} "
    "http://evil.example/b 😀 \u202eturned\u202c \u200fright ]]> \x1b[31mred\x1b[0m"
)
"""A text that would do harm if a browser, a terminal or a template interpreted it."""
BOXES = ((0.1, 0.1, 0.9, 0.9), (0.25, 0.25, 0.75, 0.75), (0.0, 0.5, 0.5, 1.0))
"""Boxes whose left sides do not overlap."""
_STAGES = {"caption": {"model": "m", "revision": None, "fingerprint": "f"}}


def tame(text: str) -> str:
    """`text` with the same words and without characters that a browser interprets."""
    return re.sub(r"[^\w\s\x1b\u200f\u202c\u202e]", "x", text)


def sample(store: Store, key: str, text: str, image: Image.Image, boxes: Iterable[Any]) -> Pointer:
    """A finished sample with `text` in every field and a region for each of `boxes`."""
    data = encoded(image, "PNG")
    regions = tuple(
        Region(
            box, 0.5, text, f"{text} {number}", f"long {text}",
            (HardNegative(f"{text} other", "color", text, "other", number != 1),
             HardNegative(f"{text} third", "material", text, "third", None)),
            (True, False, None)[number % 3],
        )
        for number, box in enumerate(boxes)
    )  # fmt: skip
    record = Record(
        key, f"/in/{text}", "u", store._put(data), hashlib.sha256(data).hexdigest(),
        alt_text=text, format="png", width=image.width, height=image.height, url=text,
        license=text, short_caption=text, long_caption=f"A red mug of {key}. {text}",
        regions=regions,
    )  # fmt: skip
    return finished(store, record, text)


def finished(store: Store, record: Record, text: str = "a mug") -> Pointer:
    """`record` as workers leave it, with two boxes of phrase `text` dropped."""
    item = {"sample": sample_json(record, _STAGES), "image": list(record.image),
            "usage": {"caption": [1, 10, 5]}, "dropped": {"detect.score": [2, text]}}  # fmt: skip
    return Pointer(record.key, record.source, store._put(pack(item)))


def rejected(store: Store, key: str, stage: str, reason: str, detail: str) -> Pointer:
    """A reject with `detail`."""
    row = {"source": f"/in/{key}/{detail}", "stage": stage, "reason": reason, "detail": detail}
    return Pointer(
        key, row["source"], store._put(pack({"reject": row, "usage": {}, "dropped": {}}))
    )


def dataset(folder: Path, store: Store, pointers: list[Pointer], text: str = "m") -> Path:
    """A finished dataset of one shard; `text` is the name of its model and of its input."""
    model = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    config = parse_config({"models": {"lmm": model, "llm": model}}, "test")
    output = folder / "dataset"
    stages = {"caption": {"model": text, "revision": text, "fingerprint": "f"}}
    prompts = (load_prompt("caption.v1", "caption", ("long_words", "alt_text")),)
    origin = Origin(f"/in/{text}", as_dict(config), Provenance(stages, prompts))
    complete(str(output), "run", origin, [shard(output, pointers)], len(pointers))
    remove_side_files(str(output), "run")
    return output


def hostile_dataset(folder: Path, text: str) -> Path:
    """A finished dataset of 6 samples and 3 rejects with `text` in every field."""
    store = Store(folder / "in")
    pointers = [sample(store, f"k{n}", text, picture(40, 30, n), BOXES[: n % 4]) for n in range(6)]
    pointers += [
        rejected(store, "bad", "source", "not_an_image", text),
        rejected(store, "late", "caption", "timeout", text),
        rejected(store, "late2", "regions", "timeout", text),
    ]
    return dataset(folder, store, pointers, text)


class Parsed(HTMLParser):
    """A page as a browser without scripts parses it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        """Tag, attributes, and the open tags around it."""
        self.texts: list[tuple[str, str]] = []
        """Innermost tag and text."""
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in ("meta", "img", "input", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in self._open, f"</{tag}> closes nothing"
        while self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags and names of attributes, in their order, outside of charts."""
        return [
            (tag, tuple(attributes))
            for tag, attributes, around in self.elements
            if "figure" not in (tag, *around)
        ]

    def text(self) -> str:
        """The visible text of the page, white space folded."""
        visible = (text for tag, text in self.texts if tag not in ("script", "style"))
        return " ".join(" ".join(visible).split())

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        """The attributes of every `tag`."""
        return (attributes for name, attributes, _ in self.elements if name == tag)
