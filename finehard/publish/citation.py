"""CITATION.cff of a published dataset, in the Citation File Format 1.2.0."""

from __future__ import annotations

from typing import Any

import yaml

CITATION = "CITATION.cff"
_SPDX = ("Apache-2.0", "MIT", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0",
         "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-4.0",
         "ODbL-1.0", "CDLA-Permissive-2.0")  # fmt: skip
"""Licences that the format knows and data have."""


def citation(manifest: dict[str, Any]) -> bytes:
    """Returns the file, from the manifest of a published dataset."""
    about = manifest["published"]
    counts = manifest["counts"]
    spdx = next((name for name in _SPDX if name.lower() == about["license"]), None)
    values = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it as below.",
        "type": "dataset",
        "title": about["name"],
        "abstract": f"{counts['written']} images with long and short captions, {counts['regions']} "
        f"regions and {counts['hard_negatives']} hard negatives. The texts are written by models.",
        "authors": [
            {"name": name} for name in about["authors"] or [f"The authors of {about['name']}"]
        ],
        **({"license": spdx} if spdx else {}),
        "references": [
            {
                "type": "conference-paper",
                "title": "FG-CLIP: Fine-Grained Visual and Textual Alignment",
                "authors": [{"name": "Chunyu Xie and others"}],
                "year": 2025,
                "conference": {"name": "ICML 2025"},
                "url": "https://arxiv.org/abs/2505.05071",
                "notes": "the kind of data, and the training that it is for",
            }
        ],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).encode()
