"""Figures are those of the published protocols, computed plainly in float64 on random features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.items import (
    Boxed,
    Boxes,
    Choices,
    Classes,
    ClassList,
    Judged,
    Labelled,
    Pair,
    Pairs,
    Picture,
)
from finehard.benchmarks.measures import (
    BoxClassification,
    BoxTexts,
    Choice,
    Classification,
    Retrieval,
)
from tests.benchmarks.random_model import RandomModel, number_image

IMAGES = 40


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    """Images whose first pixel is their number modulo 10, each another one."""
    found = []
    for number in range(IMAGES):
        path = tmp_path / f"{number}.png"
        number_image(number % 10, number).save(path)
        found.append(Picture(path.name, str(path)))
    return found


def _images(model: RandomModel) -> np.ndarray:
    rows = [model.encode_images([number_image(n % 10, n)])[0] for n in range(IMAGES)]
    return np.stack(rows).astype(np.float64)


def _texts(model: RandomModel, texts: list[str]) -> np.ndarray:
    return np.stack([model.encode_texts([text], "short")[0] for text in texts]).astype(np.float64)


@pytest.mark.parametrize("captions", [1, 5])
def test_retrieval_with_any_of_k_captions(pictures: list[Picture], captions: int) -> None:
    own = [[f"{n % 10} {'a' * n} {'b' * i}" for i in range(captions)] for n in range(IMAGES)]
    model = RandomModel()
    images, texts = _images(model), _texts(model, [t for some in own for t in some])
    right: dict[str, list[bool]] = {}
    for k in (1, 5, 10):
        for n in range(IMAGES):
            first = np.argsort(-(texts @ images[n]))[:k]
            hit = any(number // captions == n for number in first)
            right.setdefault(f"image_to_text_r@{k}", []).append(hit)
        for number in range(IMAGES * captions):
            first = np.argsort(-(images @ texts[number]))[:k]
            right.setdefault(f"text_to_image_r@{k}", []).append(number // captions in first)
    data = Pairs([Pair(p, tuple(t)) for p, t in zip(pictures, own, strict=True)])
    figures = Retrieval("short")(data, Encoder(model))
    assert {f.name: f.value for f in figures} == pytest.approx(
        {name: np.mean(hits) for name, hits in right.items()}
    )
    assert all(f.published is None for f in figures)
    assert 0.02 < figures[0].value < 0.98


def test_classes_with_averaged_templates(pictures: list[Picture]) -> None:
    names = tuple(f"{n} of a kind" for n in range(10))
    templates = ("a {c}", "some {c}!", "{c}")
    model = RandomModel()
    rows = []
    for name in names:
        mean = _texts(model, [t.replace("{c}", name) for t in templates]).mean(0)
        rows.append(mean / np.linalg.norm(mean))
    scores = 100 * _images(model) @ np.stack(rows).T
    order = np.argsort(-scores, axis=1)
    labels = np.arange(IMAGES) % 10
    expected = {
        "acc1": (order[:, 0] == labels).mean(),
        "acc5": (order[:, :5] == labels[:, None]).any(1).mean(),
        "mean_per_class_recall": np.mean([(order[labels == c, 0] == c).mean() for c in range(10)]),
    }
    items = [Labelled(p, (int(n),)) for p, n in zip(pictures, labels, strict=True)]
    figures = Classification()(Classes(items, ClassList(names, templates)), Encoder(model))
    assert {f.name: f.value for f in figures} == pytest.approx(expected)


def _boxes(pictures: list[Picture], texts: bool) -> list[Boxed]:
    chance = np.random.default_rng(3)
    items = []
    for number, picture in enumerate(pictures):
        first = chance.random((number % 3 + 1, 2)) * 0.5
        boxes = np.concatenate([first, first + 0.1 + chance.random(first.shape) * 0.4], 1)
        own = tuple(
            (f"{number % 10} true", *(f"{n} false {'x' * i}" for n in range(10)))
            for i in range(len(boxes))
        )
        answers = (0 if texts else number % 10,) * len(boxes)
        items.append(Boxed(picture, boxes, answers, own if texts else ()))
    return items


def test_box_classes_top_1_and_top_5(pictures: list[Picture]) -> None:
    items, model = _boxes(pictures, False), RandomModel()
    names = tuple(f"{n} of a kind" for n in range(10))
    classes = _texts(model, list(names))
    hits: dict[int, list[bool]] = {1: [], 5: []}
    for number, item in enumerate(items):  # as published: an image at a time, a box at a time
        for box in item.boxes:
            (region,) = model.encode_boxes([number_image(number % 10, number)], [box[None]])
            order = np.argsort(-(classes @ region[0].astype(np.float64)))
            for k, found in hits.items():
                found.append(number % 10 in order[:k])
    figures = BoxClassification()(Boxes(items, ClassList(names)), Encoder(model))
    assert [f.value for f in figures] == pytest.approx([np.mean(hits[1]), np.mean(hits[5])])
    assert figures[0].over == sum(len(item.boxes) for item in items)


def test_fgovd_the_true_text_of_eleven(pictures: list[Picture]) -> None:
    items, model = _boxes(pictures, True), RandomModel()
    hits = []
    for number, item in enumerate(items):
        for box, texts in zip(item.boxes, item.texts, strict=True):
            (region,) = model.encode_boxes([number_image(number % 10, number)], [box[None]])
            hits.append(np.argmax(_texts(model, list(texts)) @ region[0].astype(np.float64)) == 0)
    (figure,) = BoxTexts()(Boxes(items), Encoder(model))
    assert figure.value == pytest.approx(np.mean(hits)) and 0.1 < figure.value < 1


def test_sugarcrepe_true_above_false(pictures: list[Picture]) -> None:
    model = RandomModel()
    images = _images(model)
    true = [(f"{n % 10} {'a' * n}", f"{n % 10} {'b' * n}") for n in range(IMAGES)]
    false = [(f"{(n + 1) % 10} {'c' * n}",) for n in range(IMAGES)]
    by_image, by_text = [], []
    for n in range(IMAGES):
        one, other, wrong = _texts(model, [*true[n], *false[n]])
        by_image.append(min(one @ images[n], other @ images[n]) > wrong @ images[n])
        by_text.append(one @ other > max(one @ wrong, other @ wrong))
    items = [Judged(p, t, f) for p, t, f in zip(pictures, true, false, strict=True)]
    figures = Choice()(Choices(items), Encoder(model))
    assert {f.name: f.value for f in figures} == pytest.approx(
        {"image_to_text": np.mean(by_image), "text_to_text": np.mean(by_text)}
    )
