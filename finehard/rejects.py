"""The closed list of reasons for which an input becomes no sample."""

from collections.abc import Mapping

REMOVED = "removed_on_request"
REASONS = {
    "truncated_archive": "the archive ends in the middle of this member or header",
    "unreadable_archive": "the archive or Parquet file cannot be read",
    "unsafe_member": "a link, device or sparse file in an archive, or an absolute or .. name",
    "missing_image": "no image belongs to this entry",
    "unreadable_image": "the image's bytes cannot be read from where the source says they are",
    "image_file_too_large": "the image's file has more bytes than images.max_bytes",
    "not_an_image": "the bytes are no image of a format that is read",
    "truncated_image": "the image's data ends early or is damaged",
    "image_too_large": "the image has more pixels than images.max_pixels",
    "image_too_small": "a side of the image is shorter than images.min_side",
    "request_refused": "the model server refused the request (4xx), so asking again cannot help",
    "server_error": "the model server failed on this request again and again",
    "timeout": "the model server did not answer this request in time, again and again",
    "invalid_reply": "the model's replies did not fit the schema, also after being told why",
    "truncated_reply": "the model's replies were cut at max_tokens",
    "refused_by_model": "the model, or its server's filter, declined to answer",
    "empty_text": "a caption is a placeholder, punctuation or the prompt's own words, also when "
    "asked for again, as with the reasons that follow",
    "json_text": "a caption holds JSON from which no single text can be taken",
    "markup_text": "a caption is full of markup or special tokens, with little else",
    "boilerplate_text": "a caption speaks of the image as such, and of little else",
    "foreign_text": "a caption is in a language or script that the prompt neither uses nor names",
    "repetitive_text": "a caption repeats the same words again and again",
    "unfinished_text": "a caption breaks off, and too little of it is whole",
    "wrong_model": "the server answered for another model than was asked",
    "detector_failed": "the detector failed on this image, also when it was asked for it alone",
    "no_regions": "fewer regions than shards.min_regions are left",
    REMOVED: "the image is named in a removal list",
}
"""Reason -> what it means. Every `Reject` carries one of these, or one that its stage declares."""
MAY_PASS = frozenset(
    (
        "unreadable_archive",
        "unreadable_image",
        "request_refused",
        "server_error",
        "timeout",
        "invalid_reply",
        "truncated_reply",
        "refused_by_model",
        "wrong_model",
        "detector_failed",
    )
)
"""Reasons that may be gone at a later run, which therefore tries such inputs again. The others
follow from the input and from replies that are in the journal."""
_DECLARED: dict[str, str] = {}


def declare(reasons: Mapping[str, str]) -> None:
    """Makes a stage's own reasons, each with its meaning, known in this process."""
    _DECLARED.update(reasons)


def meaning(reason: str) -> str | None:
    """Returns what `reason` means; None where nobody declared it."""
    return REASONS.get(reason) or _DECLARED.get(reason)
