"""Loading errors and preflight errors are one line that names the config key."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from finehard.detect import (
    DetectConfig,
    Detection,
    check_detector,
    detector_identity,
    load_detector,
)
from finehard.errors import FinehardError


def one_line(config: DetectConfig) -> str:
    with pytest.raises(FinehardError) as raised:
        load_detector(config)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    pytest.importorskip("transformers")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("backend", ["owlv2", "grounding_dino", "yolo_world"])
@pytest.mark.parametrize("model", ["/no/such/folder", "nobody/nothing-of-this-name", "", "a b"])
def test_missing_model_is_reported(backend, model):
    assert "detect.model" in one_line(DetectConfig(backend=backend, model=model))


def test_incomplete_folder_is_reported(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert str(tmp_path) in one_line(DetectConfig(model=str(tmp_path)))


def test_pickled_weights_are_refused(tiny, tmp_path):
    import torch

    source = Path(tiny("owlv2").model)
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert "safetensors" in one_line(DetectConfig(model=str(tmp_path)))


@pytest.mark.parametrize(
    ("backend", "other"), [("owlv2", "grounding_dino"), ("grounding_dino", "owlv2")]
)
def test_model_of_another_architecture_is_refused(backend, other, tiny):
    config = replace(tiny(other), backend=backend, image_size=None)
    assert f"detect.backend {backend} cannot run" in one_line(config)


def test_missing_text_model_is_reported(tiny):
    config = replace(tiny("yolo_world"), text_model="/no/such/folder")
    assert "detect.text_model" in one_line(config)


def test_unavailable_device_is_reported(tiny):
    assert "detect.device" in one_line(replace(tiny("owlv2"), device="cuda:63"))
    assert "detect.device" in one_line(replace(tiny("owlv2"), device="toaster"))


@pytest.mark.parametrize(("name", "size"), [("owlv2", 65), ("yolo_world", 161)])
def test_image_size_must_be_a_multiple_of_the_patch_size(name, size, tiny):
    assert "detect.image_size" in one_line(replace(tiny(name), image_size=size))


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_in_a_pt_file_is_not_run(tiny, tmp_path):
    import torch

    weights, mark = tmp_path / "evil.pt", tmp_path / "mark"
    torch.save({"model": Evil(mark)}, weights)
    assert "allow_pickle" in one_line(replace(tiny("yolo_world"), model=str(weights)))
    assert not mark.exists()


def test_truncated_pt_file_is_reported(tiny, tmp_path):
    weights = tmp_path / "cut.pt"
    weights.write_bytes(Path(tiny("yolo_world").model).read_bytes()[:5000])
    assert "cut.pt" in one_line(replace(tiny("yolo_world"), model=str(weights)))


def test_yaml_architecture_loads(tiny):
    config = replace(tiny("yolo_world"), model="yolov8n-worldv2.yaml")
    assert load_detector(config).detect([Image.new("RGB", (9, 9))], [["a dog"]])[0]
    assert "detect.model" in one_line(replace(config, model="nothing.yaml"))


@pytest.mark.parametrize(
    ("blocked", "backend", "extra"),
    [
        ("torch", "owlv2", "detect"),
        ("transformers", "grounding_dino", "detect"),
        ("ultralytics", "yolo_world", "yolo"),
    ],
)
def test_missing_package_names_its_extra(blocked, backend, extra):
    code = (
        f"import sys; sys.modules[{blocked!r}] = None\n"
        "from finehard.detect import DetectConfig, check_detector\n"
        "from finehard.errors import FinehardError\n"
        f"try: check_detector(DetectConfig(backend={backend!r}, model='x.yaml', device='cpu'))\n"
        "except FinehardError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"finehard[{extra}]" in run.stdout and run.stdout.count("\n") == 1


def test_yolo_world_writes_nothing_to_the_home_folder(tiny, tmp_path):
    config = tiny("yolo_world")
    code = (
        "from finehard.detect import DetectConfig, load_detector\n"
        f"load_detector(DetectConfig(backend='yolo_world', model={config.model!r},"
        f"text_model={config.text_model!r}, device='cpu'))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YOLO_")}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    left = [path for path in tmp_path.rglob("*") if "ltralytics" in path.name]
    assert left == []


class Fixed:
    """A user's detector that returns `answer`, which the test sets."""

    answer: list = []

    def detect(self, images, phrases):
        return [list(self.answer) for _ in images]


def make_fixed(config):
    return Fixed()


def test_output_of_a_users_detector_is_postprocessed(monkeypatch):
    config = DetectConfig(backend=f"{__name__}:make_fixed")
    detector = load_detector(config)
    weak, wide = Detection(0, (0.1, 0.1, 0.2, 0.2), 0.01), Detection(1, (-0.5, 0.1, 0.5, 2.0), 0.77)
    best = Detection(0, (0.1, 0.1, 0.2, 0.2), 0.912345)
    image = [Image.new("RGB", (4, 4))]
    monkeypatch.setattr(Fixed, "answer", [weak, wide, best])
    assert detector.detect(image, [["a", "b"]]) == [
        [best._replace(score=0.9123), wide._replace(box=(0.0, 0.1, 0.5, 1.0))]
    ]
    with pytest.raises(FinehardError, match="phrase index 1 of 1"):
        detector.detect(image, [["a"]])


def fail_to_load(config):
    raise RuntimeError("no weights\nat all")


def test_failing_load_function_is_one_line():
    assert "RuntimeError: no weights at all" in one_line(
        DetectConfig(backend=f"{__name__}:fail_to_load")
    )


def test_identity_depends_on_content_not_path(tiny, tmp_path):
    config = tiny("owlv2")
    copy = tmp_path / "owlv2"
    copy.mkdir()
    for file in Path(config.model).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    moved = replace(config, model=str(copy))
    assert detector_identity(moved) == detector_identity(config)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert detector_identity(moved) != detector_identity(config)


def test_identity_ignores_selection_and_machine():
    base = DetectConfig()
    same = {"score": 0.9, "nms_iou": 0.1, "max_boxes": 1, "device": "cpu", "threads": 1}
    for name, value in same.items():
        assert detector_identity(replace(base, **{name: value})) == detector_identity(base), name
    other = {"floor": 0.1, "max_raw": 7, "revision": "abc", "dtype": "float16", "image_size": 480}
    for name, value in other.items():
        assert detector_identity(replace(base, **{name: value})) != detector_identity(base), name


@pytest.mark.parametrize("load", [check_detector, load_detector])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": "no.such.module:make"}, "cannot import no.such.module"),
        ({"backend": f"{__name__}:nothing"}, "there is no 'nothing' in"),
        ({"backend": f"{__name__}:__name__"}, "is not a function"),
        ({"model": "/no/such/folder"}, "detect.model: there is no folder '/no/such/folder'"),
        ({"model": ""}, "detect.model"),
        ({"backend": "yolo_world", "model": "none.pt"}, "detect.model: there is no file 'none.pt'"),
        ({"backend": "yolo_world", "model": "none.yaml"}, "detect.model: 'none.yaml' is not a"),
        ({"backend": "yolo_world", "model": "yolov8n-worldv2.yaml", "text_model": "/none"},
         "detect.text_model: there is no folder"),
        ({"device": "cuda:63"}, "detect.device: 'cuda:63' cannot be used"),
        ({"device": "toaster"}, "detect.device: 'toaster' cannot be used"),
    ],
)  # fmt: skip
def test_preflight_and_loading_raise_the_same_errors(load, values, message):
    with pytest.raises(FinehardError) as raised:
        load(DetectConfig(**values))
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["owlv2", "grounding_dino", "yolo_world"])
def test_preflight_accepts_valid_models(name, tiny):
    check_detector(tiny(name))


def test_preflight_accepts_hub_names_and_users_modules():
    check_detector(DetectConfig(model="nobody/nothing-of-this-name", device="cpu"))
    check_detector(DetectConfig(backend=f"{__name__}:fail_to_load"))


def test_preflight_refuses_an_incomplete_folder(tmp_path):
    with pytest.raises(FinehardError, match="no config.json"):
        check_detector(DetectConfig(model=str(tmp_path)))
