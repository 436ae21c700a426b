"""The settings of the detect stage."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from finehard.errors import UsageError
from finehard.fleet import endpoints
from finehard.settings.ranges import Amount, Positive, Share

BACKENDS = {
    "owlv2": "finehard.detect.owl:load_owl",
    "yolo_world": "finehard.detect.yolo_world:load_yolo_world",
    "grounding_dino": "finehard.detect.grounding_dino:load_grounding_dino",
}
"""The built-in detectors. Their modules are imported only when used."""


@dataclass(frozen=True)
class DetectConfig:
    """Which detector to run, and which of its boxes to keep.

    The published recipe gives only `score` 0.4, not its NMS and size limits; the other selection
    defaults are our own. OWLv2 and GroundingDINO score lower than YOLO-World: 0.2 to 0.3 is usual
    for them. Raises `UsageError` if the backend is unknown or two limits contradict each other.
    """

    backend: str = "owlv2"
    """owlv2 | yolo_world | grounding_dino | "module:function", which takes this config and returns
    a `Detector`."""
    model: str = "google/owlv2-base-patch16-ensemble"
    """Hub name or local folder; for yolo_world a local .pt file or a .yaml architecture."""
    revision: str | None = None
    text_model: str = "openai/clip-vit-base-patch32"
    """yolo_world only: the CLIP text model that embeds the phrases."""
    allow_pickle: bool = False
    """yolo_world only: unpickle the .pt file without restrictions, which runs any code in it."""
    endpoints: tuple[str, ...] = ()
    """Where `finehard serve-detector` runs: base URLs such as http://HOST:8100, or one entry that
    lists them and is read again while the build runs, file:PATH (a URL a line) or
    dns+http://NAME:PORT. Empty: each process of the build has a detector of its own."""
    timeout_s: Annotated[float, Gt(0), Lt(float("inf"))] = 120.0
    """Timeout of one request to an endpoint."""
    outage_s: Amount = 300.0
    """Seconds without any boxes from the endpoints after which the build stops."""
    device: str = "auto"
    """auto | cpu | cuda | cuda:N | mps"""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Half precision moves boxes by up to about 1 % of the image."""
    threads: Positive | None = None
    """Torch CPU threads of the process. None keeps torch's default; a fixed number makes results
    reproducible."""
    image_size: Positive | None = None
    """Longest side of the model's input, in pixels. None: the model's default."""
    batch_size: Positive = 8
    """Images per forward pass on a GPU. A CPU runs one at a time."""
    floor: Share = 0.05
    """Raw detections with a lower score are discarded."""
    max_raw: Positive = 100
    """Raw detections saved per image."""
    raw_nms_iou: Share = 0.8
    """NMS threshold within a phrase before `max_raw` applies. Without it, the best `max_raw`
    boxes of a dense detector could all cover one object."""

    # Selection: applied to the raw detections afterwards, without the model.
    score: Share = 0.4
    nms_iou: Share = 0.5
    """NMS threshold within a phrase; 1 disables it."""
    cross_nms_iou: Share = 0.8
    """NMS threshold between phrases; 1 disables it."""
    min_area: Share = 0.0025
    """Fraction of the image; 0.0025 is 32 x 32 pixels of 640 x 640."""
    max_area: Share = 0.95
    """Fraction of the image."""
    max_aspect: Annotated[float, Ge(1)] = 8.0
    """Long side to short side, in pixels."""
    max_boxes: Positive = 10
    """Per image, best first."""
    max_boxes_per_phrase: Positive = 3

    def __post_init__(self) -> None:
        if ":" not in self.backend and self.backend not in BACKENDS:
            near = get_close_matches(self.backend, BACKENDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(BACKENDS)}."
            raise UsageError(
                f"detect.backend: unknown backend {self.backend!r}; {hint} "
                "Your own detector is given as module:function."
            )
        if problem := endpoints.fault(self.endpoints):
            raise UsageError(f"detect.endpoints: {problem}")
        if self.min_area > self.max_area:
            raise UsageError("detect.min_area is larger than detect.max_area: no box would be left")
        if self.score < self.floor:
            raise UsageError(
                f"detect.score {self.score} is below detect.floor {self.floor}: boxes between the "
                "two are never saved; lower detect.floor"
            )
