"""The demo world: the objects and attributes of scenes, and the pairs held out of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

KINDS = (
    "mug", "bottle", "vase", "bowl", "ball", "book", "box", "lamp", "candle", "apple", "clock",
    "teapot", "hat", "bucket",
)  # fmt: skip
COLORS = (
    "red", "blue", "yellow", "purple", "white", "green", "pink", "black", "orange", "gray", "brown",
)  # fmt: skip
PATTERNS = ("plain", "striped", "dotted", "checkered")
SIZES = ("small", "medium", "large")
POSITIONS = ("left", "middle", "right")
SURFACES = ("wooden", "stone", "white", "dark")
WALLS = ("blue", "green", "beige", "gray", "pink")

HELD_OUT = frozenset(
    {
        ("red", "mug"),
        ("blue", "bottle"),
        ("yellow", "vase"),
        ("purple", "bowl"),
        ("white", "ball"),
        ("green", "book"),
        ("pink", "box"),
        ("black", "lamp"),
        ("orange", "clock"),
        ("gray", "teapot"),
        ("brown", "hat"),
    }
)
"""(color, kind) pairs that never occur in training scenes. Each color occurs once here."""


@dataclass(frozen=True)
class Thing:
    """One object of a scene. `box` is the visible part, xyxy in pixels, x2 and y2 exclusive."""

    kind: str
    color: str
    pattern: str
    size: str
    box: tuple[int, int, int, int]
    visible: float

    @property
    def held_out(self) -> bool:
        """Whether this color and kind were held out of training."""
        return (self.color, self.kind) in HELD_OUT


@dataclass(frozen=True)
class Scene:
    """The truth about one picture. `things` are sorted from left to right by box centre."""

    width: int
    height: int
    things: tuple[Thing, ...]
    surface: str
    wall: str
    light: str
    relations: tuple[tuple[int, str, int], ...]

    def position(self, thing: Thing) -> str:
        """Returns the third of the picture, left to right, that the box's centre is in."""
        centre = (thing.box[0] + thing.box[2]) / 2 / self.width
        return POSITIONS[min(2, int(centre * 3))]


def truth_header() -> dict[str, Any]:
    """Returns the first line of a truth file: the words to find in captions (docs/truth.md)."""
    return {
        "truth_version": "1.0",
        "kinds": list(KINDS),
        "attributes": {
            "color": list(COLORS),
            "pattern": [p for p in PATTERNS if p != "plain"],
            "size": ["small", "large"],
        },
    }


def truth_row(key: str, scene: Scene, sha256: str) -> dict[str, Any]:
    """Returns the line of image `key` in a truth file; boxes are normalised xyxy."""
    return {
        "key": key,
        "image": {"width": scene.width, "height": scene.height, "sha256": sha256},
        "objects": [
            {
                "kind": t.kind,
                "attributes": {
                    "color": t.color,
                    "pattern": None if t.pattern == "plain" else t.pattern,
                    "size": None if t.size == "medium" else t.size,
                },
                "position": scene.position(t),
                "box": [
                    round(v / side, 6)
                    for v, side in zip(
                        t.box,
                        (scene.width, scene.height, scene.width, scene.height),
                        strict=True,
                    )
                ],
                "visible": round(t.visible, 3),
                "held_out": t.held_out,
            }
            for t in scene.things
        ],
        "relations": [list(r) for r in scene.relations],
        "background": {"surface": scene.surface, "wall": scene.wall, "light": scene.light},
    }
