"""Reads image-text pairs: images with one or more captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from finehard.benchmarks.folder import (
    Absent,
    Folder,
    first_of_list,
    json_lines,
    lines,
    parsed,
    read_json,
)
from finehard.benchmarks.items import Pair, Pairs, Picture
from finehard.io import storage

Read = Callable[[Folder], Pairs]
Names = tuple[str, ...]


def _pairs(rows: Iterable[tuple[Picture, Iterable[str]]]) -> Pairs:
    """Returns pairs, leaving out blank captions and images without any."""
    items, blank = [], 0
    for picture, captions in rows:
        texts = tuple(text for one in captions if (text := " ".join(one.split())))
        if texts:
            items.append(Pair(picture, texts))
        blank += not texts
    notes = (f"{blank:,} images without a caption are left out",) if blank else ()
    return Pairs(items, notes)


def first_there(*readers: Read) -> Read:
    """Returns a reader that uses the first of `readers` whose files are there."""

    def read(folder: Folder) -> Pairs:
        first: Absent | None = None
        for one in readers:
            try:
                return one(folder)
            except Absent as error:
                first = first or error
        assert first is not None
        raise first

    return read


def karpathy(file: str, images: Names, captions: int | None = None, split: str = "test") -> Read:
    """Reads the images of `split` of Karpathy's JSON, with their first `captions`."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(file)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            for image in read_json(uri)["images"]:
                if image["split"] == split:
                    texts = [sentence["raw"] for sentence in image["sentences"]]
                    yield place.picture(image["filename"]), texts[:captions]

        return parsed(uri, lambda: _pairs(rows()))

    return read


def listed(file: str, images: Names, captions: int | None = None) -> Read:
    """Reads a JSON list of {"image", "caption": text or texts}, with their first `captions`."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(file)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            for row in read_json(uri):
                texts = [row["caption"]] if isinstance(row["caption"], str) else row["caption"]
                yield place.picture_below(row["image"]), texts[:captions]

        return parsed(uri, lambda: _pairs(rows()))

    return read


def token_file(file: str, images: Names) -> Read:
    """Reads lines "ID.jpg#n<TAB>caption", those of an image together."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(file)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            texts: dict[str, list[str]] = {}
            for line in lines(uri):
                name, caption = line.split("\t", 1)
                texts.setdefault(name.rsplit("#", 1)[0], []).append(caption)
            for name, captions in texts.items():
                yield place.picture(name), captions

        return parsed(uri, lambda: _pairs(rows()))

    return read


def coco_captions(files: Names, images: Names, captions: int | None = None) -> Read:
    """Reads COCO's captions: of each image the first `captions`, in the order of the file."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(*files)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            content = read_json(uri)
            texts: dict[int, list[str]] = {image["id"]: [] for image in content["images"]}
            for annotation in content["annotations"]:
                texts[annotation["image_id"]].append(annotation["caption"])
            for image in content["images"]:
                yield place.picture(image["file_name"]), texts[image["id"]][:captions]

        return parsed(uri, lambda: _pairs(rows()))

    return read


def densely_captioned(text: Callable[[dict[str, Any]], str]) -> Read:
    """Reads DCI's annotations, a file an image; `text` makes the caption of one."""

    def read(folder: Folder) -> Pairs:
        photos = folder.folder("photos")
        annotations = folder.folder("annotations")

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            for file in storage.glob(annotations.uri, ""):
                if file.uri.endswith(".json"):
                    row = parsed(file.uri, partial(read_json, file.uri))
                    caption = parsed(file.uri, partial(text, row))
                    yield photos.picture(row["image"]), [caption]

        return _pairs(rows())

    return read


def numbered(images: str, captions: str) -> Read:
    """Reads pairs of files of one name, NAME.jpg and NAME.txt; the first line of a text."""

    def read(folder: Folder) -> Pairs:
        place, texts = folder.folder(images), folder.folder(captions)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            for file in sorted(storage.glob(texts.uri, ""), key=lambda one: _in_order(one.uri)):
                name = file.uri.rsplit("/", 1)[-1]
                if name.endswith(".txt"):
                    first = next(lines(file.uri), "")
                    yield place.picture(name.removesuffix(".txt") + ".jpg"), [first]

        return parsed(texts.uri, lambda: _pairs(rows()))

    return read


def _in_order(uri: str) -> tuple[int, str]:
    """Returns a sort key: "10" comes after "9"."""
    name = uri.rsplit("/", 1)[-1].split(".")[0]
    return (int(name) if name.isdecimal() else 1 << 60), name


def conversations(file: str, images: Names, count: int) -> Read:
    """Reads the first `count` of a list of {"image", "conversations"}: the second turn is the
    caption, and images are found by their base names."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(file)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            for row in first_of_list(uri, count):
                name = row["image"].rsplit("/", 1)[-1]
                yield place.picture(name), [row["conversations"][1]["value"]]

        return parsed(uri, lambda: _pairs(rows()))

    return read


def descriptions(
    files: Names,
    images: Names,
    picture: Callable[[dict[str, Any]], str],
    text: str,
    split: str | None = None,
) -> Read:
    """Reads JSON Lines: `picture` makes an image's file name of a row, `text` names the field of
    the caption; with `split`, only rows that say so."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(*files)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            for row in json_lines(uri):
                if split is None or row["split"] == split:
                    yield place.picture(picture(row)), [row[text]]

        return parsed(uri, lambda: _pairs(rows()))

    return read


def tab_separated(files: Names, images: Names) -> Read:
    """Reads lines "image<TAB>caption"; the lines of an image are its captions. "ID#n" is caption n
    of ID.jpg."""

    def read(folder: Folder) -> Pairs:
        uri = folder.find(*files)
        place = folder.folder(*images)

        def rows() -> Iterator[tuple[Picture, list[str]]]:
            texts: dict[str, list[str]] = {}
            for line in lines(uri):
                name, caption = line.split("\t", 1)
                number, numbered, _ = name.partition("#")
                texts.setdefault(f"{number}.jpg" if numbered else name, []).append(caption)
            for name, captions in texts.items():
                yield place.picture_below(name), captions

        return parsed(uri, lambda: _pairs(rows()))

    return read
