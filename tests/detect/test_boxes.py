"""Post-processing and selection of boxes."""

import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.boxes import iou
from finehard.detect.boxes import RULES, Detection, check, postprocess, select
from finehard.detect.config import DetectConfig
from finehard.errors import UsageError
from finehard.settings.read import checked

OPEN = DetectConfig(
    floor=0.0,
    score=0.0,
    nms_iou=1.0,
    cross_nms_iou=1.0,
    raw_nms_iou=1.0,
    min_area=0.0,
    max_area=1.0,
    max_aspect=1e9,
    max_boxes=1000,
    max_boxes_per_phrase=1000,
)

# Coarse coordinates make ties and equal boxes frequent.
units = st.integers(0, 20).map(lambda step: step / 20)


@st.composite
def detection(draw: st.DrawFn) -> Detection:
    x1, x2 = sorted((draw(units), draw(units)))
    y1, y2 = sorted((draw(units), draw(units)))
    return Detection(draw(st.integers(0, 3)), (x1, y1, x2, y2), draw(units))


configs = st.builds(
    DetectConfig,
    floor=st.just(0.0),
    score=units,
    nms_iou=units,
    cross_nms_iou=units,
    min_area=st.sampled_from([0.0, 0.01, 0.1]),
    max_area=st.sampled_from([0.3, 0.9, 1.0]),
    max_aspect=st.sampled_from([1.0, 2.0, 8.0]),
    max_boxes=st.integers(1, 12),
    max_boxes_per_phrase=st.integers(1, 4),
)


def pair_iou(one: Detection, other: Detection) -> float:
    return float(iou(np.array(one.box), np.array(other.box)))


@settings(max_examples=300, deadline=None)
@given(st.lists(detection(), max_size=25), configs, st.integers(1, 4000), st.integers(1, 4000))
def test_selected_boxes_obey_every_limit(found, config, width, height):
    kept, dropped = select(found, config, width, height)
    assert set(dropped) == set(RULES)
    everything = [*kept, *(one for boxes in dropped.values() for one in boxes)]
    assert sorted(map(repr, everything)) == sorted(map(repr, found))
    assert len(kept) <= config.max_boxes
    for one in kept:
        assert one in found
        x1, y1, x2, y2 = one.box
        assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1
        assert one.score >= config.score
        assert config.min_area <= (x2 - x1) * (y2 - y1) <= config.max_area
        sides = sorted(((x2 - x1) * width, (y2 - y1) * height))
        assert sides[1] <= config.max_aspect * sides[0]
        assert sum(one.phrase == other.phrase for other in kept) <= config.max_boxes_per_phrase
    for index, one in enumerate(kept):
        for other in kept[index + 1 :]:
            limit = config.nms_iou if one.phrase == other.phrase else config.cross_nms_iou
            assert pair_iou(one, other) <= limit


@settings(max_examples=200, deadline=None)
@given(
    st.lists(detection(), max_size=25).flatmap(lambda a: st.tuples(st.just(a), st.permutations(a)))
)
def test_selection_ignores_input_order(both):
    config = DetectConfig(floor=0.0, score=0.1, max_boxes=6)
    one, other = (select(found, config, 640, 480) for found in both)
    assert one[0] == other[0]
    assert [len(boxes) for boxes in one[1].values()] == [len(boxes) for boxes in other[1].values()]


@settings(max_examples=100, deadline=None)
@given(st.lists(detection(), max_size=25))
def test_selection_is_idempotent(found):
    config = DetectConfig(floor=0.0, score=0.1, max_boxes=6)
    kept, _ = select(found, config, 640, 480)
    assert select(kept, config, 640, 480)[0] == kept


BIG = Detection(0, (0.1, 0.1, 0.5, 0.5), 0.9)


@pytest.mark.parametrize(
    ("rule", "config", "found"),
    [
        ("below_score", {"score": 0.95}, [BIG]),
        ("too_small", {"min_area": 0.2}, [BIG]),
        ("too_small", {}, [BIG._replace(box=(0.1, 0.1, 0.1, 0.5))]),
        ("too_small", {}, [BIG._replace(box=(float("nan"), 0.1, 0.1, 0.5))]),
        ("below_score", {}, [BIG._replace(score=float("nan"))]),
        ("too_large", {"max_area": 0.1}, [BIG]),
        ("too_elongated", {"max_aspect": 1.9}, [BIG]),
        ("nms", {"nms_iou": 0.5}, [BIG, BIG._replace(score=0.8)]),
        ("cross_phrase_nms", {"cross_nms_iou": 0.5}, [BIG, BIG._replace(phrase=1)]),
        ("too_many_for_phrase", {"max_boxes_per_phrase": 1}, [BIG, BIG._replace(score=0.8)]),
        ("too_many_boxes", {"max_boxes": 1}, [BIG, BIG._replace(phrase=1)]),
    ],
)
def test_each_rule_reports_what_it_drops(rule, config, found):
    kept, dropped = select(found, replace(OPEN, **config), 200, 100)
    assert repr(dropped) == repr({**{name: [] for name in RULES}, rule: found[-1:]})
    assert kept == found[:-1]


def test_cross_phrase_nms_keeps_the_best_then_lowest_index():
    config = replace(OPEN, cross_nms_iou=0.5)
    later = BIG._replace(phrase=1, score=0.95)
    assert select([BIG, later], config, 100, 100)[0] == [later]
    assert select([BIG._replace(phrase=1), BIG], config, 100, 100)[0] == [BIG]


def test_suppressed_box_suppresses_no_other():
    # a suppresses b within phrase 0; c overlaps only b and must remain.
    a = Detection(0, (0.0, 0.0, 0.4, 0.4), 0.9)
    b = Detection(0, (0.1, 0.0, 0.5, 0.4), 0.8)
    c = Detection(1, (0.2, 0.0, 0.6, 0.4), 0.7)
    config = replace(OPEN, nms_iou=0.5, cross_nms_iou=0.5)
    assert select([a, b, c], config, 100, 100)[0] == [a, c]


numbers = st.floats(-2, 3, width=32) | st.just(float("nan"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.tuples(numbers, numbers, numbers, numbers), numbers, st.integers(0, 2)),
        min_size=1,
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_postprocess_returns_valid_boxes_in_a_fixed_order(rows, random):
    config = DetectConfig(floor=0.1, max_raw=5, raw_nms_iou=0.7)

    def answer(rows):
        boxes, scores, phrases = zip(*rows, strict=True)
        return postprocess(np.array(boxes), np.array(scores), np.array(phrases), config)

    found = answer(rows)
    assert len(found) <= 5
    for phrase, (x1, y1, x2, y2), score in found:
        assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and score >= 0.1 and phrase in (0, 1, 2)
        assert all(number == round(number, 4) for number in (x1, y1, x2, y2, score))
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            assert one.phrase != other.phrase or pair_iou(one, other) <= 0.7
    random.shuffle(rows)
    assert answer(rows) == found


def test_postprocess_breaks_score_ties_consistently():
    boxes = np.array([[0.5, 0.1, 0.6, 0.2], [0.1, 0.1, 0.2, 0.2], [0.1, 0.1, 0.2, 0.2]])
    phrases = np.array([0, 1, 0])
    found = [
        postprocess(boxes[order], np.full(3, 0.5), phrases[order], OPEN)
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0])
    ]
    assert found[0] == found[1] == found[2]
    assert [(one.phrase, one.box[0]) for one in found[0]] == [(0, 0.1), (0, 0.5), (1, 0.1)]


def test_check_refuses_unknown_phrases_and_nan():
    with pytest.raises(ValueError, match="phrase index 3 of 2"):
        check([BIG._replace(phrase=3)], 2, OPEN)
    with pytest.raises(ValueError, match="nan"):
        check([BIG._replace(score=float("nan"))], 2, OPEN)


def test_select_needs_no_torch():
    code = (
        "import sys; from finehard.detect import DetectConfig, Detection, select;"
        "select([Detection(0, (0., 0., .5, .5), .9)] * 2, DetectConfig(), 9, 9);"
        "sys.exit(bool({'torch', 'transformers', 'ultralytics'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass(frozen=True)
class Sections:
    detect: DetectConfig


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"backend": "owlv3"}, "did you mean 'owlv2'"),
        ({"backend": "?"}, "detect.backend"),
        ({"score": 1.5}, "detect.score"),
        ({"score": 0.01}, "detect.floor"),
        ({"nms_iou": -0.1}, "detect.nms_iou"),
        ({"max_boxes": 0}, "detect.max_boxes"),
        ({"max_aspect": 0.5}, "detect.max_aspect"),
        ({"min_area": 0.99}, "detect.min_area"),
        ({"dtype": "int8"}, "detect.dtype"),
        ({"image_size": 0}, "detect.image_size"),
        ({"threads": 0}, "detect.threads"),
        ({"max_area": float("nan")}, "detect.max_area"),
        ({"max_raw": 0}, "detect.max_raw"),
    ],
)
def test_invalid_setting_is_reported_by_key(values, key):
    with pytest.raises(UsageError, match=key) as raised:
        checked({"detect": values}, Sections, "my.yaml")
    assert "\n" not in str(raised.value)
