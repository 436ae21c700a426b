"""Tiny models on disk, built once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from finehard.detect import DetectConfig

# No filtering: the detections are the whole raw output.
SHOW_ALL = {"floor": 0.0, "score": 0.0, "max_raw": 60, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DetectConfig]:
    """Returns a function from a model's name (owlv2, yolo_world, ...) to its config."""
    for module in ("torch", "transformers", "ultralytics"):
        pytest.importorskip(module)
    from tests.detect import tiny_models

    folder = tmp_path_factory.mktemp("detectors")

    def config(name: str) -> DetectConfig:
        path = folder / (f"{name}.pt" if name == "yolo_world" else name)
        if name == "yolo_world":
            text = folder / "clip"
            if not path.exists():
                tiny_models.write_clip_text(text)
                tiny_models.write_yolo_world(path)
            return DetectConfig(
                backend=name, model=str(path), text_model=str(text), image_size=160, **SHOW_ALL
            )
        owl = name.startswith("owl")
        if not path.exists():
            if owl:
                tiny_models.write_owl(path, version=2 if name == "owlv2" else 1)
            else:
                tiny_models.write_grounding_dino(path, mm=name.startswith("mm"))
        return DetectConfig(
            backend="owlv2" if owl else "grounding_dino",
            model=str(path),
            image_size=None if owl else 128,
            **SHOW_ALL,
        )

    return config


@pytest.fixture(scope="session")
def photos() -> list[Image.Image]:
    """Four photographs of different shapes, made from the two that ultralytics ships."""
    pytest.importorskip("ultralytics")
    from finehard.detect.yolo_world import quiet_ultralytics

    quiet_ultralytics()
    import ultralytics

    assets = Path(ultralytics.__file__).parent / "assets"
    bus = Image.open(assets / "bus.jpg").convert("RGB")
    zidane = Image.open(assets / "zidane.jpg").convert("RGB")
    return [bus, zidane, bus.crop((0, 200, 810, 500)), zidane.resize((90, 160))]
