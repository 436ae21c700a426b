"""The dataset card: README.md with front matter for the Hub, rendered from the manifest."""

from __future__ import annotations

import json
import re
from typing import Any

from jinja2 import Environment

from finehard.dataset.unread import unread_line
from finehard.images import MEMBERS
from finehard.records import one_line

_CARD = """\
---
pretty_name: {{ title }}
{{ license }}
language: [en]
tags: [image-text, region-captions, hard-negatives, webdataset, croissant, finehard]
task_categories: [zero-shot-image-classification, image-to-text]
size_categories: [{{ size }}]
configs:
- config_name: default
  data_files:
  - split: train
    path: shards/*.tar
dataset_info:
  config_name: default
  features:
{% for name, kind in features %}  - name: {{ name }}
    dtype: {{ kind }}
{% endfor %}---
# {{ heading }}

Images with short and long captions
{%- if c.regions %}, boxes with region captions, and hard negatives that differ from
the true text in one attribute
{%- endif %}. Made by finehard {{ m.finehard }} from {{ m.input|code }}.
{%- if about %}
**The texts are synthetic**: models wrote them, and they can be wrong.{% endif %}

| | |
|---|---|
| images read | {{ c.read }} |
| samples written | {{ c.written }} |
| rejected | {{ c.rejected }} |
| regions | {{ c.regions }} |
| hard negatives | {{ c.hard_negatives }} |
{% if m.rejects %}
Rejected for: {% for reason, n in m.rejects.items() -%}
{{ reason }} ({{ n }}){{ ", " if not loop.last }}{% endfor %}.
{% endif %}
{% if unread %}
In the input, {{ unread }}.
{% endif %}
{%- if figures %}
## What is in it

{{ figures }}
{% endif %}
## Use

With webdataset:

```python
import json
import webdataset

for sample in webdataset.WebDataset("shards/{{ pattern }}", shardshuffle=False):
    annotation = json.loads(sample["json"])
    print(sample["__key__"], annotation["short_caption"], len(annotation["regions"]))
    break
```

With Hugging Face datasets, which reads the columns from this card:

```python
from pathlib import Path

from datasets import load_dataset

folder = str(Path(".").resolve())  # or the dataset's name on the Hub
samples = load_dataset(folder, split="train", streaming=True)
for sample in samples:
    image = sample["jpg"] or sample["png"] or sample["webp"]
    print(sample["__key__"], image.size, sample["json"]["short_caption"])
    break
```

A sample is `KEY.jpg` (or `.png`, `.webp`) and `KEY.json`; boxes are x1, y1, x2, y2 as fractions of
the displayed image's width and height. Images that came in another format are PNG files of what
they show, of an animation the first frame.

{{ "`index/*.parquet` have" if m.tables else "`index.parquet` has" }} a row per sample, \
`manifest.json` the full config, the prompts and the SHA-256
of every shard, `croissant.json` the metadata for tools, `rejected/` the inputs that were left out
and why, and `report.html` samples and statistics.

## How it was made

| stage | model | revision |
|---|---|---|
{% for stage, p in m.stages.items() -%}
| {{ stage|code }} | {{ p.model|code }} | {{ p.revision|code }} |
{% endfor %}
The texts are written by models and can be wrong. Licences of the images are those of their sources
(`image.license`, where the source gave one).
{%- if about %} The annotations are under the licence {{ about.license|code }}.

## Known limits

- Captions, region texts and hard negatives are synthetic. {{ verified }}
- Boxes are those of an open-vocabulary detector for phrases of the caption: what the caption does
  not name has none, and a box can be of another thing than its text says.
- The texts have the habits and prejudices of the models above, and say nothing reliable of the
  identity, origin or feelings of people.
- Images are as their sources had them, metadata in their files included. Unless said otherwise
  above, they were not searched for faces, personal data or offensive content.
- `source_uri` names the place in the input {{ m.input|code }}, not a file that can be fetched.

To have an image removed, {{ contact }}

## Citation

See `CITATION.cff`. The kind of data is that of FG-CLIP (arXiv 2505.05071).
{% endif %}
"""

_FEATURES = (
    *((extension, "image") for extension in MEMBERS), ("json", "json"),
    ("__key__", "string"), ("__url__", "string"),
)  # fmt: skip
"""The columns that the Hub's loader makes of shards, whatever its first rows hold."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"))  # fmt: skip


def _code(text: str | None) -> str:
    """Returns `text` as a code span, in which Markdown and HTML have no effect, even in a table."""
    text = one_line(text or "").replace("|", "\\|")
    if not text:
        return ""
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{fence} {text} {fence}"


_LICENSES = frozenset(
    ("apache-2.0", "mit", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
     "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
     "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
     "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "odc-by", "odbl", "pddl",
     "unknown", "other")
)  # fmt: skip
"""Licences of data that the Hub knows (hf.co/docs/hub/repositories-licenses)."""
_VERIFIED = {
    "skip": "No model verified the region texts and hard negatives.",
    "mark": "A model was asked about each region text and hard negative, and `verified` is its "
    "answer; nothing was left out.",
    "drop": "A model was asked about each region text and hard negative; what it did not confirm "
    "was left out.",
    "correct": "A model was asked about each region text and hard negative; what it did not "
    "confirm was corrected or left out.",
}
_CAPTIONS_VERIFIED = {
    "skip": "No model verified the captions.",
    "drop": "A model was asked about each statement of the captions; what it did not confirm was "
    "cut out.",
    "mark": "A model was asked about each statement of the captions; `extra.verify_caption` has "
    "its answers.",
}


def card(manifest: dict[str, Any], figures: str = "") -> str:
    """Returns the card as Markdown. That of a published dataset says more: its name and licence,
    what is in it (`figures`, Markdown), its limits, how to cite it."""
    counts = manifest["counts"]
    size = next((name for limit, name in _SIZES if counts["written"] < limit), "100M<n<1B")
    last = len(manifest["shards"]) - 1
    braces = f"{{{0:05d}..{last:05d}}}"
    pattern = f"finehard-{braces}-of-{last + 1:05d}.tar"
    environment = Environment(autoescape=False, keep_trailing_newline=True)
    environment.filters["code"] = _code
    template = environment.from_string(_CARD)
    unread = one_line(unread_line(manifest["unread"])) if manifest.get("unread") else ""
    about = manifest.get("published")
    name = about["name"] if about else "finehard dataset"
    verify = manifest["config"].get("verify", {})
    of_regions = _VERIFIED.get(verify.get("policy"), _VERIFIED["skip"])
    of_captions = _CAPTIONS_VERIFIED.get(verify.get("captions"), _CAPTIONS_VERIFIED["skip"])
    contact = about and about.get("contact")
    return template.render(
        m=manifest, c=counts, size=size, pattern=pattern, unread=unread, features=_FEATURES,
        title=json.dumps(name, ensure_ascii=False) if about else name, heading=_heading(name),
        about=about, figures=figures, license=_license(about["license"] if about else "unknown"),
        verified=f"{of_regions} {of_captions}",
        contact=f"write to {_code(contact)}." if contact else "open a discussion on this page.",
    )  # fmt: skip


def _heading(name: str) -> str:
    """Returns `name` with what Markdown and HTML would read in it escaped."""
    return re.sub(r"([\\`*_\[\]<>#|&])", r"\\\1", name)


def _license(license: str) -> str:
    """Returns the front matter's lines on the licence."""
    if license in _LICENSES:
        return f"license: {license}"
    return f"license: other\nlicense_name: {license}"
