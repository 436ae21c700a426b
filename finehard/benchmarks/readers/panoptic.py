"""Reads the boxes of panoptic segments, as CLIPSelf measures dense features on them."""

from __future__ import annotations

from finehard.benchmarks.folder import Folder, parsed, read_json
from finehard.benchmarks.items import Boxed, Boxes, ClassList
from finehard.benchmarks.readers.boxes import Read, by_id, normalised

SMALLEST, LARGEST = 8**2, 1024**2
"""Square pixels of a box that counts (CLIPSelf, src/training/data.py)."""
MOST = 100
"""Segments of an image that count, the first ones (the same)."""


def panoptic_boxes(
    files: tuple[str, ...], images: tuple[str, ...], things: bool, templates: tuple[str, ...]
) -> Read:
    """Reads COCO's panoptic JSON: the boxes of things, or of stuff, among all classes.

    Names of stuff lose "-merged", "-other" and "-stuff", as spoken words do not have them.
    """

    def read(folder: Folder) -> Boxes:
        uri = folder.find(*files)
        place = folder.folder(*images)

        def all_boxes() -> Boxes:
            content = read_json(uri)
            categories, number = by_id(content["categories"])
            chosen = {one["id"] for one in categories if bool(one["isthing"]) == things}
            by_image = {one["id"]: one for one in content["images"]}
            items, small = [], 0
            for annotation in content["annotations"]:
                image = by_image[annotation["image_id"]]
                segments = annotation["segments_info"][:MOST]
                of_kind = [s for s in segments if s["category_id"] in chosen]
                own = [s for s in of_kind if SMALLEST <= _area(s["bbox"]) <= LARGEST]
                small += len(of_kind) - len(own)
                if own:
                    items.append(
                        Boxed(
                            place.picture(image["file_name"]),
                            normalised((s["bbox"] for s in own), image["width"], image["height"]),
                            tuple(number[s["category_id"]] for s in own),
                        )
                    )
            names = tuple(_spoken(one["name"]) for one in categories)
            note = f"{small:,} boxes below 8 x 8 or above 1024 x 1024 pixels are left out"
            return Boxes(items, ClassList(names, templates), (note,) if small else ())

        return parsed(uri, all_boxes)

    return read


def _area(box: list[float]) -> float:
    return box[2] * box[3]


def _spoken(name: str) -> str:
    for ending in ("-merged", "-other", "-stuff"):
        name = name.replace(ending, "")
    return name.replace("-", " ")
