"""The published figures, as data."""

from __future__ import annotations

from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.measures import BoxClassification, Choice, Classification, Retrieval
from finehard.benchmarks.published import of, published, source

_FIGURES = {
    Retrieval: {"image_to_text_r@1", "text_to_image_r@1"},
    Classification: {"acc1"},
    BoxClassification: {"top1"},
    Choice: {"image_to_text"},
}


def test_every_figure_is_of_a_benchmark_and_has_a_source() -> None:
    names = {one.published_name(): one.measure for one in BENCHMARKS.values()}
    for one in published():
        assert one.figure in _FIGURES.get(type(names[one.benchmark]), {"top1"}), one
        assert 0 < one.value < 1 and source(one.source)


def test_figures_of_fg_clip_are_those_of_its_paper() -> None:
    ours = {
        (p.benchmark, p.figure): round(p.value, 4) for p in published() if p.model == "FG-CLIP L/14"
    }
    assert ours["coco", "image_to_text_r@1"] == 0.689
    assert ours["fgovd/trivial", "top1"] == 0.897 and ours["lvis_boxes", "top1"] == 0.383
    assert ours["urban1k", "text_to_image_r@1"] == 0.899


def test_protocols_that_differ_have_no_figures_of_the_other() -> None:
    assert of("dci") and not of("dci_short_and_long") and not of("coco_all_captions")
