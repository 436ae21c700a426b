"""Figures are those of CLIP_benchmark 1.6.2 on the same model and data."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
retrieval = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
classification = pytest.importorskip("clip_benchmark.metrics.zeroshot_classification")

from finehard.benchmarks.chosen import choose  # noqa: E402
from finehard.benchmarks.imagenet import imagenet  # noqa: E402
from finehard.benchmarks.run import measure  # noqa: E402
from tests.benchmarks.layouts import npy, webdataset_of  # noqa: E402
from tests.benchmarks.random_model import RandomModel, number_image  # noqa: E402

IMAGES, CLASSES = 60, 12


class Theirs:
    """The model as CLIP_benchmark calls it: a batch of images is their first pixels; a token is a
    text's number in `texts`."""

    def __init__(self, model: RandomModel) -> None:
        self._model = model
        self.texts: list[str] = []

    def tokenizer(self, texts: list[str]) -> Any:
        self.texts += texts
        return torch.arange(len(self.texts) - len(texts), len(self.texts))

    def encode_image(self, pixels: Any) -> Any:
        images = [number_image(int(red), int(green)) for red, green in pixels]
        return torch.from_numpy(self._model.encode_images(images))

    def encode_text(self, tokens: Any) -> Any:
        texts = [self.texts[int(token)] for token in tokens]
        return torch.from_numpy(self._model.encode_texts(texts, "short"))


class Loader:
    """Batches of pixels and labels, with the names of the classes."""

    def __init__(
        self, pixels: list[tuple[int, int]], labels: list[Any], classes: list[str]
    ) -> None:
        self.pixels, self.labels, self.classes, self.dataset = pixels, labels, classes, self

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.pixels), 7):
            labels = self.labels[start : start + 7]
            texts = isinstance(labels[0], list)
            yield (
                torch.tensor(self.pixels[start : start + 7]),
                labels if texts else torch.tensor(np.array(labels)),
            )

    def __len__(self) -> int:
        return len(self.pixels)


def _png(pixel: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    number_image(*pixel).save(out, "PNG")
    return out.getvalue()


def _ours(folder: Path, model: RandomModel) -> dict[str, float]:
    ((benchmark, _),) = choose([f"wds/{folder.name}"], str(folder.parent))
    result = measure(benchmark, model, str(folder.parent))
    assert result.images == IMAGES
    return {one.name: one.value for one in result.figures}


@pytest.mark.parametrize("captions", [1, 5])
def test_recall_with_one_and_with_five_captions(captions: int, tmp_path: Path) -> None:
    pixels = [(number, 0) for number in range(IMAGES)]
    texts = [[f"{n} {'x' * i}y" for i in range(captions)] for n in range(IMAGES)]
    rows = [(_png(p), "txt", "\n".join(t).encode()) for p, t in zip(pixels, texts, strict=True)]
    webdataset_of(tmp_path / "pairs", rows, dataset_type="retrieval\n")
    theirs = Theirs(RandomModel())
    expected = retrieval.evaluate(
        theirs, Loader(pixels, texts, []), theirs.tokenizer, "cpu", amp=False,
        recall_k_list=[1, 5, 10],
    )  # fmt: skip
    found = _ours(tmp_path / "pairs", RandomModel())
    assert 0.1 < found["image_to_text_r@1"] < found["image_to_text_r@10"] <= 1
    for k in (1, 5, 10):
        assert found[f"image_to_text_r@{k}"] == pytest.approx(
            expected[f"text_retrieval_recall@{k}"], abs=1e-6
        )
        assert found[f"text_to_image_r@{k}"] == pytest.approx(
            expected[f"image_retrieval_recall@{k}"], abs=1e-6
        )


def _classes(folder: Path, rows: list[Any], **files: str) -> tuple[list[str], list[str]]:
    names = [f"{number} of a kind" for number in range(CLASSES)]
    templates = ["a photo of {c}.", "{c}", "many {c}, drawn"]
    webdataset_of(
        folder, rows, classnames="\n".join(names) + "\n",
        zeroshot_classification_templates="\n".join(templates) + "\n", **files,
    )  # fmt: skip
    return names, templates


def test_zero_shot_classification_with_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # theirs converts an array of one number, which numpy 2.4 refuses; sklearn's takes its place
    top_k = pytest.importorskip("sklearn.metrics").top_k_accuracy_score
    monkeypatch.setattr(
        classification,
        "accuracy",
        lambda logits, target, topk: [
            top_k(target, logits, k=k, labels=range(CLASSES)) for k in topk
        ],
    )
    chance = np.random.default_rng(0)
    labels = [int(n) for n in chance.integers(0, CLASSES, IMAGES)]
    pixels = [(label, variant) for variant, label in enumerate(labels)]
    rows = [(_png(p), "cls", str(n).encode()) for p, n in zip(pixels, labels, strict=True)]
    names, templates = _classes(tmp_path / "classes", rows)
    theirs = Theirs(RandomModel())
    expected = classification.evaluate(
        theirs, Loader(pixels, labels, names), theirs.tokenizer, names, templates, "cpu", amp=False
    )
    found = _ours(tmp_path / "classes", RandomModel())
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0.2 < found["acc1"] < found["acc5"] < 1


def test_multilabel_mean_average_precision(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    labels = (chance.random((IMAGES, CLASSES)) < 0.2).astype(int)
    labels[np.arange(CLASSES), np.arange(CLASSES)] = 1
    pixels = [(int(row.argmax()), variant) for variant, row in enumerate(labels)]
    rows = [(_png(p), "npy", npy(*row)) for p, row in zip(pixels, labels, strict=True)]
    names, templates = _classes(tmp_path / "several", rows, dataset_type="multilabel")
    theirs = Theirs(RandomModel())
    expected = classification.evaluate(
        theirs, Loader(pixels, list(labels), names), theirs.tokenizer, names, templates, "cpu",
        amp=False,
    )  # fmt: skip
    assert _ours(tmp_path / "several", RandomModel()) == pytest.approx(expected, abs=1e-6)


def test_imagenets_names_and_templates_are_theirs() -> None:
    datasets = pytest.importorskip("clip_benchmark.datasets")
    folder = Path(datasets.__file__).parent
    for file, own in (
        ("en_classnames.json", imagenet().classes.names),
        ("en_zeroshot_classification_templates.json", imagenet().classes.templates),
    ):
        assert tuple(json.loads((folder / file).read_text("utf-8"))["imagenet1k"]) == own
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in imagenet().numbers)
