"""A small release with the published layout, and images as users have them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import jpg

COLORS = ("blue", "green", "white", "black", "gray", "pink", "brown", "purple", "yellow", "beige")


def path_of(image: int, old: bool = False) -> str:
    """The f_path of an image of sub-set `image` % 2, list 69, row `image`; in the older form."""
    subset = f"coyo_image_{image % 2}"
    if old:
        return f"data/down-grit-12m/{subset}/00069/00000/00000{image:04d}.jpg"
    return f"grit-20m/data-12m/{subset}/00069/00069{image:04d}.jpg"


def url_of(image: int) -> str:
    """The URL of an image."""
    return f"https://example.org/ü/{image}.jpg?a=1"


def region(**changes: Any) -> dict[str, Any]:
    """A region without defects."""
    negatives = {f"neg_{n}": f"a {color} mug" for n, color in enumerate(COLORS)}
    info = {"bbox": [0.1, 0.2, 0.5, 0.75, 0.625], "short_expr": "a red mug",
            "long_expr": "a red mug on a wooden table", "flag_short_neg": 1,
            "short_expr_negs": negatives}  # fmt: skip
    return {**info, **changes}


def item(image: int, *regions: dict[str, Any], old: bool = False, **changes: Any) -> dict[str, Any]:
    """An item of the release."""
    made = {
        "caption": f"A red mug stands on a wooden table beside a blue book. It is number {image}.",
        "short_caption": f"A red mug, {image}.", "f_path": path_of(image, old),
        "bbox_info": list(regions),
    }  # fmt: skip
    return {**made, **changes}


def release(folder: Path, items: list[Any], files: int = 2) -> Path:
    """Writes the release."""
    for name in ("url2key_jsons", "jsonfiles"):
        (folder / name).mkdir(parents=True)
    for number in range(files):
        path = folder / "jsonfiles" / f"1716000000_results_{number}.json"
        path.write_text(json.dumps(items[number::files]))
    for subset in range(2):
        keys = {url_of(n): f"00069{n:04d}" for n in range(200) if n % 2 == subset}
        path = folder / "url2key_jsons" / f"url2key_coyo_image_{subset}.json"
        path.write_text(json.dumps(keys))
    return folder


def as_tar(folder: Path, images: list[int]) -> Path:
    """The images as img2dataset's tar, under keys of its own."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, image in enumerate(images):
            for suffix, data in _members(image):
                info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder


def as_files(folder: Path, images: list[int], listed: bool = False) -> Path:
    """The same as files; `listed`: their URLs are in the Parquet file only."""
    (folder / "00000").mkdir(parents=True)
    for number, image in enumerate(images):
        for suffix, data in _members(image):
            if not (listed and suffix == "json"):
                (folder / "00000" / f"{number:09d}.{suffix}").write_bytes(data)
    _list(folder / "00000.parquet", images)
    return folder


def as_parquet(folder: Path, images: list[int]) -> Path:
    """The same as a Parquet file with a column of bytes."""
    folder.mkdir(parents=True)
    _list(folder / "00000.parquet", images, jpg=[jpg(image) for image in images])
    return folder


def as_published(folder: Path, images: list[int], old: bool = False) -> Path:
    """The same under their published paths."""
    for image in images:
        path = folder / path_of(image, old)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpg(image))
    return folder


def _members(image: int) -> Iterator[tuple[str, bytes]]:
    yield "jpg", jpg(image)
    yield "json", json.dumps({"url": url_of(image), "status": "success"}).encode()
    yield "txt", b"a mug"


def _list(path: Path, images: list[int], **columns: list[Any]) -> None:
    keys = [f"{number:09d}" for number in range(len(images))]
    urls = [url_of(image) for image in images]
    status = ["success"] * len(images)
    pq.write_table(pa.table({"key": keys, "url": urls, "status": status, **columns}), path)
