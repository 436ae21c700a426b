"""Open-vocabulary detection: images and phrases in, boxes out.

detector = load_detector(DetectConfig(backend="owlv2", model="path/or/hub-name"))
raw = detector.detect(images, phrases)                   # raw detections, saved in the journal
boxes, dropped = select(raw[0], config, width, height)   # cheap; can be rerun with new thresholds
"""

from finehard.detect.boxes import RULES, Detection, select
from finehard.detect.config import DetectConfig
from finehard.detect.detector import Detector, load_detector
from finehard.detect.identity import detector_identity
from finehard.detect.preflight import check_detector

__all__ = [
    "RULES",
    "DetectConfig",
    "Detection",
    "Detector",
    "check_detector",
    "detector_identity",
    "load_detector",
    "select",
]
