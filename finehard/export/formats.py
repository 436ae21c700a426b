"""The names of the formats; each is written by the module `to_NAME` beside this one."""

from __future__ import annotations

from typing import Literal

Caption = Literal["long", "short", "mixed"]

FORMATS = {
    "release": "the published FineHARD's JSON, for its trainer",
    "open_clip": "webdataset tars with a .txt member, for open_clip",
    "csv": "a tab-separated file of image paths and captions, for open_clip",
    "coco": "COCO's detection and captions JSON",
    "fgovd": "FG-OVD's LVIS-type JSON: regions and their hard negatives",
    "llava": "conversations on images and regions, JSONL",
    "grit": "long captions with grounded phrases as in GRIT, JSONL",
    "hf": "Parquet with images, for Hugging Face datasets",
    "jsonl": "whole samples, a line each, and image files",
}
