"""Reads labelled images: folders of classes."""

from __future__ import annotations

from collections.abc import Callable

from finehard.benchmarks.folder import Absent, Folder
from finehard.benchmarks.imagenet import imagenet
from finehard.benchmarks.items import Classes, Labelled, Picture
from finehard.images import SUFFIXES
from finehard.io import storage

Read = Callable[[Folder], Classes]


def class_folders(folders: tuple[str, ...], number: Callable[[str], int | None]) -> Read:
    """Reads the images in folders of ImageNet's classes; `number` tells a folder's class."""

    def read(folder: Folder) -> Classes:
        place = folder.folder(*folders)
        items = []
        for file in storage.walk(place.uri):
            parts = file.uri[len(place.uri) :].strip("/").split("/")
            label = number(parts[0]) if len(parts) == 2 else None
            if label is not None and parts[-1].lower().endswith(SUFFIXES):
                items.append(Labelled(Picture("/".join(parts), file.uri), (label,)))
        if not items:
            raise Absent(f"{place.uri}: no folders of ImageNet's classes with images")
        return Classes(items, imagenet().classes)

    return read


def by_wordnet_id(name: str) -> int | None:
    """Returns the class of a folder that is called by its WordNet id."""
    return imagenet().numbers.get(name)


def by_number(name: str) -> int | None:
    """Returns the class of a folder that is called by its number."""
    return int(name) if name.isdecimal() and int(name) < len(imagenet().classes.names) else None
