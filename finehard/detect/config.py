"""The settings of the detect stage."""

from dataclasses import dataclass
from difflib import get_close_matches

from finehard.detect.backends import BACKENDS
from finehard.errors import UsageError

DTYPES = ("float32", "float16", "bfloat16")
_FRACTIONS = ("floor", "raw_nms_iou", "score", "nms_iou", "cross_nms_iou", "min_area", "max_area")
_POSITIVE = ("batch_size", "max_raw", "max_boxes", "max_boxes_per_phrase")


@dataclass(frozen=True)
class DetectConfig:
    """Which detector is asked, and which of its boxes are kept.

    The published recipe gives `score` 0.4 only. Its NMS and size limits were never published; the
    other selection defaults are ours. OWLv2 and GroundingDINO score lower than YOLO-World: 0.2 to
    0.3 is usual for them. Raises UsageError for a value out of range.
    """

    backend: str = "owlv2"
    """owlv2 | yolo_world | grounding_dino | "module:function" (called with this config, returns
    a Detector)."""
    model: str = "google/owlv2-base-patch16-ensemble"
    """Hub name or local folder; for yolo_world a local .pt file or a .yaml architecture."""
    revision: str | None = None
    text_model: str = "openai/clip-vit-base-patch32"
    """yolo_world only: the CLIP text model that embeds the phrases."""
    allow_pickle: bool = False
    """yolo_world only: load a .pt file with plain pickle, which runs any code that is in it."""
    device: str = "auto"
    """auto | cpu | cuda | cuda:N | mps"""
    dtype: str = "float32"
    """float32 | float16 | bfloat16. Half types move boxes by up to about 1 % of the image."""
    threads: int | None = None
    """Torch CPU threads, for the whole process. None leaves them; a fixed number makes results
    repeatable."""
    image_size: int | None = None
    """Longest side the model sees, in pixels. None: what the model was made for."""
    batch_size: int = 8
    """Images in one forward pass on a GPU. On a CPU images go one by one."""
    floor: float = 0.05
    """Raw detections below this score are not kept."""
    max_raw: int = 100
    """Raw detections kept for an image."""
    raw_nms_iou: float = 0.8
    """Raw boxes of one phrase that overlap more are one box. Without this the best `max_raw` of
    a dense detector would all lie on one object."""

    # Selection: applied to the raw detections afterwards, without the model.
    score: float = 0.4
    nms_iou: float = 0.5
    """Two boxes of one phrase that overlap more: the weaker is dropped. 1 turns it off."""
    cross_nms_iou: float = 0.8
    """The same for boxes of different phrases."""
    min_area: float = 0.0025
    """Of the image; 0.0025 is 32 x 32 pixels of 640 x 640."""
    max_area: float = 0.95
    max_aspect: float = 8.0
    """Long side to short side, in pixels."""
    max_boxes: int = 10
    """For an image; the best stay."""
    max_boxes_per_phrase: int = 3

    def __post_init__(self) -> None:
        """Check every value. Raises UsageError."""
        if ":" not in self.backend and self.backend not in BACKENDS:
            near = get_close_matches(self.backend, BACKENDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(BACKENDS)}"
            raise UsageError(
                f"detect.backend: unknown backend {self.backend!r}; {hint} "
                "Your own detector is given as module:function."
            )
        if self.dtype not in DTYPES:
            raise UsageError(f"detect.dtype: {self.dtype!r} is not one of {', '.join(DTYPES)}.")
        for name in _FRACTIONS:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"detect.{name}: {getattr(self, name)} is not between 0 and 1.")
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise UsageError(f"detect.{name}: {getattr(self, name)} must be at least 1.")
        if self.max_aspect < 1:
            raise UsageError(f"detect.max_aspect: {self.max_aspect} must be at least 1.")
        if self.min_area > self.max_area:
            raise UsageError("detect.min_area is larger than detect.max_area; nothing would stay.")
        if self.score < self.floor:
            raise UsageError(
                f"detect.score {self.score} is below detect.floor {self.floor}: boxes between the "
                "two are never kept; lower detect.floor."
            )
        for name in ("image_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"detect.{name}: {value} must be at least 1.")
