"""The model card of a trained model: what it was trained on, how, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from finehard import __version__
from finehard.fgclip.evaluate import table


class Training(NamedTuple):
    """What the card says of a run.

    `data` and `evaluated_on` are URIs of datasets, of which only the last part is printed;
    `start` is the model that it began from, None for random weights; `metrics` are those of
    `evaluate`, empty where there was no evaluation.
    """

    data: Sequence[str]
    samples: int
    start: str | None
    recipe: Mapping[str, Any]
    steps: int
    loss: float | None
    evaluated_on: Sequence[str]
    metrics: Mapping[str, float]


def write_card(folder: Path, training: Training) -> None:
    """Writes README.md of the model in `folder`."""
    (folder / "README.md").write_text(card(training), "utf-8")


def card(training: Training) -> str:
    """Returns the card as Markdown with the Hub's YAML header."""
    start = f"`{_name(training.start)}`" if training.start else "random weights"
    loss = "" if training.loss is None else f" The loss of the last step was {training.loss:.4g}."
    padded = training.recipe["sample"]["fit"] == "pad"
    header = {
        "library_name": "transformers",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip", "fg-clip", "sentence-transformers", "finehard"],
    }
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n",
        "# FG-CLIP, trained by finehard\n",
        "Encodes images, short texts (77 tokens), long texts (248 tokens) and regions of images "
        "(FG-CLIP, arXiv 2505.05071).\n",
        f"## Data\n\n{training.samples:,} samples of {_names(training.data)}.\n",
        f"## Recipe\n\n{training.steps:,} steps from {start}, by finehard {__version__}.{loss}\n",
        f"```yaml\n{yaml.safe_dump(dict(training.recipe), sort_keys=False)}```\n",
        f"## Figures\n\n{_figures(training)}\n",
        _USE,
    ]
    if padded:
        parts.append(
            "Images were padded with black to a square, the image in its middle. The image "
            "processor squashes: pad before it.\n"
        )
    return "\n".join(parts)


def _figures(training: Training) -> str:
    if not training.metrics:
        return "Not evaluated."
    on = _names(training.evaluated_on)
    return f"On {on}, which may resemble the training data:\n\n```\n{table(training.metrics)}\n```"


def _names(uris: Sequence[str]) -> str:
    return ", ".join(f"`{_name(uri)}`" for uri in uris)


def _name(uri: str) -> str:
    return uri.rstrip("/").rsplit("/", 1)[-1].replace("`", "")


_USE = """## Use

```python
from PIL import Image
from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("FOLDER")
image = model.get_image_features(**processor(images=Image.open("photo.jpg"), return_tensors="pt"))
text = processor(text=["a red ball"], padding=True, truncation=True, return_tensors="pt")
text = model.get_text_features(**text)  # long texts: walk_short_pos=False
print(image.pooler_output.shape, text.pooler_output.shape)
```
"""
