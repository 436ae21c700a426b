"""Why an image is left out."""

from typing import NamedTuple

REASONS = {
    "small_side": "a side of the image is shorter than curate.min_side",
    "long_and_narrow": "the image's sides differ more than curate.max_aspect",
    "low_entropy": "the image has fewer grey levels than curate.min_entropy: it is nearly empty",
    "blurred": "the image is less sharp than curate.min_sharpness",
    "text_only": "more of the image than curate.max_text is print",
    "license_not_allowed": "the image's licence is not in curate.licenses",
    "left_out_by_column": "the source's metadata say so, by the rules of curate.columns",
    "personal_data": "the alt text has an e-mail address or a telephone number",
    "unlike_its_text": "image and alt text are less similar than curate.similarity.least",
    "evaluation_image": "the image is a copy of one in a file of curate.evaluation",
    "same_bytes": "another sample has the same image",
    "near_copy": "another sample has nearly the same picture, by hash and thumbnail",
    "similar_embedding": "another sample's image is nearly the same for curate.embeddings.model",
}
"""Reason -> what it means; for every image that curation leaves out."""


class Reason(NamedTuple):
    """A reason by name, and what was found of this image."""

    name: str
    detail: str
