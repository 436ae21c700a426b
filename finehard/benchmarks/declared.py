"""The benchmarks, each a declaration on one of the four readers.

A benchmark of your own is the same in a file of yours: `--benchmark module:attribute`.
"""

from __future__ import annotations

from typing import Any

from finehard.benchmarks.benchmark import Benchmark
from finehard.benchmarks.imagenet import imagenet
from finehard.benchmarks.measures import (
    BoxClassification,
    BoxRecall,
    BoxTexts,
    Choice,
    Classification,
    Retrieval,
)
from finehard.benchmarks.readers.boxes import coco_boxes, coco_path, fgovd
from finehard.benchmarks.readers.choices import sugarcrepe
from finehard.benchmarks.readers.classes import by_number, by_wordnet_id, class_folders
from finehard.benchmarks.readers.half_truths import half_truths
from finehard.benchmarks.readers.pairs import (
    Read,
    coco_captions,
    conversations,
    densely_captioned,
    descriptions,
    first_there,
    karpathy,
    listed,
    numbered,
    tab_separated,
    token_file,
)
from finehard.benchmarks.readers.panoptic import panoptic_boxes

SHORT, LONG = Retrieval("short"), Retrieval("long")
_FLICKR = ("flickr30k-images", "flickr30k_images", "images", "Images", "")
_VAL = ("val2017", "images/val2017", "")
_SPLITS = ("val2017", "train2017")
_NO_PROMPT = 'texts as they are, without "a photo of"'


def _coco_captions(captions: int | None) -> Read:
    files = ("annotations/captions_val2017.json", "captions_val2017.json")
    return first_there(
        coco_captions(files, _VAL, captions),
        karpathy("dataset_coco.json", ("val2014", "images/val2014", ""), captions),
    )


def _dci_text(row: dict[str, Any]) -> str:
    return str(row["extra_caption"])


def _dci_both_texts(row: dict[str, Any]) -> str:
    return f"{row['short_caption']}\n{row['extra_caption']}"


def _iiw_picture(row: dict[str, Any]) -> str:
    name = str(row.get("image") or row["image/key"])
    return name if "." in name.rsplit("/", 1)[-1] else f"{name}.jpg"


_DCI = densely_captioned(_dci_text)
_URBAN = numbered("image", "caption")
_SHAREGPT4V = conversations(
    "share-captioner_coco_lcs_sam_1246k_1107.json",
    ("images", "sam/images", "sam", ""),
    1000,
)
_DOCCI = descriptions(
    ("docci_descriptions.jsonlines", "docci_descriptions.jsonl", "descriptions.jsonl"),
    ("images", ""),
    lambda row: str(row["image_file"]),
    "description",
    "test",
)


def _iiw(part: str, images: tuple[str, ...]) -> Read:
    return descriptions((f"{part}/data.jsonl",), images, _iiw_picture, "IIW")


_PAIRS = [
    Benchmark(
        "flickr30k", "Flickr30K, Karpathy's 1K test", "flickr30k",
        first_there(
            karpathy("dataset_flickr30k.json", _FLICKR, 5),
            listed("flickr30k_test.json", _FLICKR, 5),
        ),
        SHORT, f"FG-CLIP: short texts, the first 5 captions of an image, {_NO_PROMPT}", images=1000,
    ),
    Benchmark(
        "flickr30k_full", "Flickr30K, all images", "flickr30k",
        token_file("results_20130124.token", _FLICKR),
        SHORT, f"Long-CLIP: short texts, all captions, {_NO_PROMPT}", images=31_783,
    ),
    Benchmark(
        "coco", "COCO 5K", "coco", _coco_captions(5),
        SHORT, f"FG-CLIP: short texts, the first 5 captions of an image (25,000), {_NO_PROMPT}",
        images=5000,
    ),
    Benchmark(
        "coco_all_captions", "COCO 5K, all captions", "coco", _coco_captions(None),
        SHORT, f"FLAIR: short texts, all captions of an image (25,014), {_NO_PROMPT}", images=5000,
    ),
    Benchmark(
        "dci", "DCI", "densely_captioned_images", _DCI,
        LONG, "FG-CLIP: long texts, all images, the caption is extra_caption", images=7805,
    ),
    Benchmark(
        "dci_short_and_long", "DCI, short and extra caption", "densely_captioned_images",
        densely_captioned(_dci_both_texts),
        LONG, "FLAIR, LoTLIP: long texts, all images, the caption is short_caption and "
        "extra_caption; not comparable to dci",
        ("the line break between the two captions is a space",), images=7805,
    ),
    Benchmark(
        "urban1k", "Urban-1K", "urban1k", _URBAN,
        LONG, "Long-CLIP: long texts, the first line of each caption's file", images=1000,
    ),
    Benchmark(
        "sharegpt4v1k", "ShareGPT4V-1K", "sharegpt4v", _SHAREGPT4V,
        LONG, "Long-CLIP: long texts, the first 1,000 entries of the list", images=1000,
    ),
    Benchmark(
        "docci", "DOCCI, test", "docci", _DOCCI,
        LONG, "long texts, one caption an image", images=5000,
    ),
    Benchmark(
        "iiw/docci", "IIW, DOCCI test", "imageinwords",
        _iiw("DOCCI_Test", ("DOCCI_Test/images", "../docci/images", "images")),
        LONG, "long texts, one caption an image",
    ),
    Benchmark(
        "iiw/400", "IIW-400", "imageinwords", _iiw("IIW-400", ("IIW-400/images", "images")),
        LONG, "long texts, one caption an image", images=400,
    ),
    Benchmark(
        "iiw/dci", "IIW, DCI test", "imageinwords",
        _iiw("DCI_Test", ("DCI_Test/images", "../densely_captioned_images/photos", "images")),
        LONG, "long texts, one caption an image",
    ),
    Benchmark(
        "chinese/flickr30k_cna", "Flickr30K-CNA", "flickr30k_cna",
        tab_separated(("flickr30k_cna_test.txt",), (*_FLICKR[:-1], "../flickr30k/flickr30k-images",
                                                    "../flickr30k/images", "")),
        SHORT, "FG-CLIP 2: short Chinese texts",
    ),
    Benchmark(
        "chinese/coco_cn", "COCO-CN", "coco_cn",
        tab_separated(("pair.txt",), ("images", "../coco", "")),
        SHORT, "FG-CLIP 2: short Chinese texts",
    ),
    Benchmark(
        "chinese/dci_cn", "DCI-CN", "dci_cn",
        tab_separated(("image_caption_trans.txt",),
                      ("images", "photos", "../densely_captioned_images/photos", "")),
        LONG, "FG-CLIP 2: long Chinese texts",
    ),
    Benchmark(
        "chinese/docci_cn", "DOCCI-CN", "docci_cn",
        tab_separated(("image_caption_trans.txt",), ("images", "../docci/images", "")),
        LONG, "FG-CLIP 2: long Chinese texts",
    ),
    Benchmark(
        "chinese/lit_cn", "LIT-CN", "lit_cn",
        tab_separated(("image_caption_long_cn.txt",), ("images", "")),
        LONG, "FG-CLIP 2: long Chinese texts",
    ),
]  # fmt: skip


def _fgovd(level: str, part: str, images: int | None = None) -> Benchmark:
    return Benchmark(
        f"fgovd/{level}", f"FG-OVD, {level}", "fgovd",
        fgovd(
            (f"{level}.jsonl", f"fgovd_{level}.jsonl", f"{part}_llava.jsonl", f"{part}.jsonl"),
            (f"{part}.json",), ("", "../coco", "coco"), _SPLITS[:1],
        ),
        BoxTexts(), "FG-CLIP: the text of a box among 11, no prompt",
        ("a tie is wrong, where the published scripts count it as right",),
    )  # fmt: skip


def _panoptic(part: str, things: bool) -> Benchmark:
    return Benchmark(
        f"panoptic_boxes/{part}", f"COCO panoptic, boxes of {part}", "coco",
        panoptic_boxes(("annotations/panoptic_val2017.json", "panoptic_val2017.json"),
                       ("val2017", "images/val2017"), things, imagenet().classes.templates),
        BoxRecall(), "CLIPSelf: boxes among all 133 classes, mean over the classes",
        ("the model's own image size, where CLIPSelf pads to 1024 pixels",
         "ImageNet's 80 templates, and names of stuff without -merged, -other, -stuff",
         "boxes of stuff are those in the JSON, not measured on the masks"),
    )  # fmt: skip


_BOXES = [
    _panoptic("things", True),
    _panoptic("stuff", False),
    Benchmark(
        "coco_boxes", "COCO, boxes", "coco",
        coco_boxes(("annotations/instances_val2017.json", "instances_val2017.json"),
                   ("", "images"), lambda image: f"val2017/{image['file_name']}",
                   templates=imagenet().classes.templates, splits=_SPLITS[:1]),
        BoxClassification(), "FG-CLIP: all annotations of val2017 (crowds too), 80 classes, "
        "ImageNet's 80 templates",
    ),
    Benchmark(
        "lvis_boxes", "LVIS, boxes", "lvis",
        coco_boxes(("lvis_v1_val.json", "annotations/lvis_v1_val.json"), ("../coco", "", "images"),
                   coco_path, lambda name: name.replace("_", " "),
                   imagenet().classes.templates, _SPLITS),
        BoxClassification(), 'FG-CLIP: all annotations, 1,203 classes ("_" as a space), '
        "ImageNet's 80 templates",
        ("images of train2017 count too: the published script leaves them out unsaid",),
    ),
    Benchmark(
        "chinese/box_class_cn", "BoxClass-CN", "BoxClass-CN",
        coco_boxes(("valid_category_data_total_zh.json",), ("images", ""),
                   lambda image: str(image["file_name"])),
        BoxClassification(), "FG-CLIP 2: 566 Chinese classes, bare names",
    ),
    _fgovd("hard", "1_attributes"),
    _fgovd("medium", "2_attributes"),
    _fgovd("easy", "3_attributes"),
    _fgovd("trivial", "shuffle_negatives"),
]  # fmt: skip

_CLASSES = [
    Benchmark(
        "imagenet", "ImageNet-1K", "imagenet", class_folders(("val", ""), by_wordnet_id),
        Classification(), "CLIP: 1,000 classes, 80 templates, all 50,000 images",
        ("the last batch counts: the published script leaves it out",), images=50_000,
    ),
    Benchmark(
        "imagenet_v2", "ImageNet-V2", "imagenetv2",
        class_folders(("imagenetv2-matched-frequency-format-val", "val", ""), by_number),
        Classification(), "CLIP: matched frequency, 1,000 classes, 80 templates", images=10_000,
    ),
]  # fmt: skip


def _sugarcrepe(part: str) -> Benchmark:
    return Benchmark(
        f"sugarcrepe/{part}", f"SugarCrepe, {part}", "sugarcrepe",
        sugarcrepe((f"{part}.json", f"data/{part}.json", f"sugarcrepe_{part}.json"),
                   ("val2017", "../coco/val2017", "images"), ("caption",), ("negative_caption",)),
        Choice(), "SugarCrepe: image to text, a tie is wrong",
    )  # fmt: skip


def _sugarcrepe_pp(part: str) -> Benchmark:
    published = part.replace("swap_attribute", "swap_atribute")  # its set is misspelled
    names = dict.fromkeys((part, published))
    return Benchmark(
        f"sugarcrepe_pp/{part}", f"SugarCrepe++, {part}", "sugarcrepe_pp",
        sugarcrepe((*(f"{n}.json" for n in names), *(f"data/{n}.json" for n in names)),
                   ("val2017", "../coco/val2017", "images"),
                   ("caption", "caption2"), ("negative_caption",)),
        Choice(), "SugarCrepe++: both captions of an image above the false one; a tie is wrong",
    )  # fmt: skip


_SUGARCREPE = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att",
               "swap_obj")  # fmt: skip
_SUGARCREPE_PP = ("replace_attribute", "replace_object", "replace_relation", "swap_attribute",
                  "swap_object")  # fmt: skip


def half_truths_of(name: str, title: str, folder: str, read: Read) -> Benchmark:
    """Returns the benchmark of half truths made of a set of long captions."""
    return Benchmark(
        f"half_truths/{name}", f"half truths, {title}", folder, half_truths(read), Choice(),
        "arXiv 2602.23906: a short true text against the same with one false detail",
        ("details are made by rule from the image's own long caption: comparable between models, "
         "not with published figures",),
        published="half_truths",
    )  # fmt: skip


_CHOICES = [
    *map(_sugarcrepe, _SUGARCREPE),
    *map(_sugarcrepe_pp, _SUGARCREPE_PP),
    half_truths_of("dci", "DCI", "densely_captioned_images", _DCI),
    half_truths_of("docci", "DOCCI", "docci", _DOCCI),
    half_truths_of("urban1k", "Urban-1K", "urban1k", _URBAN),
    half_truths_of("sharegpt4v1k", "ShareGPT4V-1K", "sharegpt4v", _SHAREGPT4V),
]

BENCHMARKS = {one.name: one for one in (*_PAIRS, *_BOXES, *_CLASSES, *_CHOICES)}
"""The declared benchmarks by name. CLIP_benchmark's webdatasets are "wds/NAME"."""
