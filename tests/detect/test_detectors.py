"""Properties of every backend, on tiny models with random weights."""

from dataclasses import replace

import pytest
from PIL import Image

from finehard.detect import load_detector
from finehard.detect.loading import Runtime

ALL = ["owlv2", "owlvit", "yolo_world", "grounding_dino", "mm_grounding_dino"]
# More phrases than one bucket, and for GroundingDINO more than one pass.
MANY = [f"thing number {index}" for index in range(40)]
PHRASES = [
    ["a bus", "a man in a long coat", "a red wheel"],
    ["a tie", "two men", "a bald man", "a microphone"],
    ["a window"],
    MANY,
]


@pytest.fixture(scope="module", params=ALL)
def detector(request, tiny):
    return load_detector(tiny(request.param))


def test_tiny_models_return_varied_boxes(detector, photos):
    results = detector.detect(photos, PHRASES)
    assert len(results) == 4
    for detections, asked in zip(results, PHRASES, strict=True):
        assert len(detections) > 5
        assert all(0 <= one.phrase < len(asked) for one in detections)
        assert all(0 <= one.score <= 1 for one in detections)
    assert len({one.box for one in results[0]}) > 5
    assert len({one.score for one in results[0]}) > 5
    assert results[0] != results[1]


def test_boxes_do_not_depend_on_the_call(detector, photos):
    alone = [
        detector.detect([image], [asked])[0] for image, asked in zip(photos, PHRASES, strict=True)
    ]
    for order in ([0, 1, 2, 3], [3, 1, 0], [2, 2, 3, 2, 0, 1]):
        together = detector.detect([photos[i] for i in order], [PHRASES[i] for i in order])
        assert together == [alone[i] for i in order]


@pytest.mark.parametrize("name", ALL)
def test_boxes_do_not_depend_on_the_batch(name, tiny, photos):
    """As on a GPU: several rows per pass, the last batch padded."""
    detector = load_detector(tiny(name))
    detector._runtime = Runtime(*detector._runtime[:2], rows=3)
    alone = [
        detector.detect([image], [asked])[0] for image, asked in zip(photos, PHRASES, strict=True)
    ]
    for order in ([0, 1, 2, 3], [3, 1, 0], [2, 2, 3, 2, 0, 1]):
        together = detector.detect([photos[i] for i in order], [PHRASES[i] for i in order])
        for got, index in zip(together, order, strict=True):
            assert len(got) == len(alone[index])
            for one, other in zip(got, alone[index], strict=True):
                assert one.phrase == other.phrase
                assert [*one.box, one.score] == pytest.approx([*other.box, other.score], abs=2e-4)


def test_reloaded_detector_returns_the_same_boxes(detector, tiny, photos):
    again = load_detector(detector._config)
    assert again.detect(photos[:2], PHRASES[:2]) == detector.detect(photos[:2], PHRASES[:2])


def test_no_phrases_give_no_boxes(detector, photos):
    assert detector.detect([], []) == []
    assert detector.detect(photos[:2], [[], []]) == [[], []]
    mixed = detector.detect(photos[:2], [[], PHRASES[1]])
    assert mixed == [[], detector.detect(photos[1:2], PHRASES[1:2])[0]]


def test_unusual_images_and_phrases(detector):
    images = [
        Image.new("L", (1, 1), 128),
        Image.new("RGB", (5000, 20), "red"),
        Image.new("RGB", (20, 5000), "red"),
        Image.new("RGB", (33, 47), "blue"),
    ]
    odd = [
        ["a dog"],
        ["a cat", "a cat", "a cat"],
        ["x" * 5000, "une théière émaillée", "红色的茶壶", "🫖"],
        ["", " ", ".", "no. 5? [SEP]", "\x00\n"],
    ]
    results = detector.detect(images, odd)
    assert len(results) == 4
    # On the two thin images a random model may place every box in the padding.
    assert results[0] and results[3]
    # Among equal phrases the first one wins.
    same = detector.detect(images[:1], [["a cat", "a cat", "a cat"]])[0]
    assert {one.phrase for one in same} == {0}


def test_floor_and_max_raw_limit_the_output(tiny, photos):
    config = tiny("owlv2")
    everything = load_detector(config).detect(photos[:1], PHRASES[:1])[0]
    floor = sorted(one.score for one in everything)[len(everything) // 2]
    raised = replace(config, floor=floor, score=floor)
    some = load_detector(raised).detect(photos[:1], PHRASES[:1])[0]
    assert some == [one for one in everything if one.score >= floor]
    assert 0 < len(some) < len(everything)
    capped = load_detector(replace(config, max_raw=3)).detect(photos[:1], PHRASES[:1])[0]
    assert capped == everything[:3]
