"""A detector's server: what it tells, what it refuses, and how it stops."""

from __future__ import annotations

import io
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from finehard.config import load_config
from finehard.detect import DetectConfig, Detection, detector_identity, load_detector
from finehard.detect.remote import DetectionFailed, RemoteDetector
from finehard.detect.served import served_identity
from finehard.errors import FinehardError
from finehard.images import ImagesConfig, decode
from tests.detect.served import Served, write_config

PHRASES = ["a red ball", "the café"]


def picture(seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (200, 300, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    running = Served(write_config(folder), FAILS_ON="broken")
    yield running
    running.kill()


def ask(url: str, fields: dict[str, bytes], kind: str = "multipart/form-data") -> tuple[int, Any]:
    """The status and the JSON of an answer to a form."""
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in fields.items()
    )
    headers = {"Content-Type": f"{kind}; boundary=b"}
    request = urllib.request.Request(url + "/detect", body + b"--b--\r\n", headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def form(**changed: bytes) -> dict[str, bytes]:
    fields = {"image": picture(), "phrases": json.dumps(PHRASES).encode(), "max_side": b"128"}
    return {name: value for name, value in {**fields, **changed}.items() if value}


def remote(url: str, config: DetectConfig, **settings: Any) -> tuple[RemoteDetector, DetectConfig]:
    made = replace(config, endpoints=(url,), **settings)
    return RemoteDetector(made, 128, detector_identity(made)), made


def test_boxes_are_those_of_the_local_detector(server: Served, folder: Path) -> None:
    config = load_config(str(folder / "detector.yaml")).detect
    client, _ = remote(server.url, config)
    local = load_detector(config)
    for seed in range(3):
        pixels = decode(picture(seed), ImagesConfig(max_side=128)).pixels
        assert max(pixels.size) == 128
        found = client.submit(picture(seed), PHRASES, str(seed)).result(60)
        assert found == local.detect([pixels], [PHRASES])[0] and len(found) == 2
        assert all(isinstance(each, Detection) for each in found)
    client.close()


def test_identity_is_the_local_one(server: Served, folder: Path) -> None:
    config = load_config(str(folder / "detector.yaml")).detect
    asked = replace(config, endpoints=(server.url,))
    assert served_identity(asked, ImagesConfig()) == detector_identity(config)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"model": "other/model"}, "serves model google/owlv2-base-patch16-ensemble, not other/m"),
        ({"revision": "abc"}, "serves revision None, not abc"),
        ({"floor": 0.1}, "serves floor 0.05, not 0.1"),
        ({"backend": "owlv2"}, "serves backend pixel_detector:load, not owlv2"),
    ],
)
def test_another_detector_is_refused(
    server: Served, folder: Path, setting: dict[str, Any], told: str
) -> None:
    config = load_config(str(folder / "detector.yaml")).detect
    with pytest.raises(FinehardError, match=told):
        served_identity(replace(config, endpoints=(server.url,), **setting), ImagesConfig())


def test_smaller_limits_are_refused(server: Served, folder: Path) -> None:
    config = replace(load_config(str(folder / "detector.yaml")).detect, endpoints=(server.url,))
    with pytest.raises(FinehardError, match="images.max_pixels up to 100000000, not 100000001"):
        served_identity(config, ImagesConfig(max_pixels=100_000_001))


def test_weights_not_here_are_identified_by_the_server(folder: Path) -> None:
    weights = folder / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    running = Served(write_config(folder / "weighed", model=str(weights)))
    try:
        config = load_config(str(folder / "weighed" / "detector.yaml")).detect
        here = detector_identity(config)
        elsewhere = replace(config, endpoints=(running.url,), model="/not/here/weights")
        assert served_identity(elsewhere, ImagesConfig()) == here and "model_sha256" in here
        with pytest.raises(FinehardError, match="serves model weights, not others"):
            served_identity(replace(elsewhere, model="/not/here/others"), ImagesConfig())
    finally:
        running.kill()


@pytest.mark.parametrize(
    ("fields", "kind", "status", "line"),
    [
        (form(image=b""), "multipart/form-data", 400, "image is missing"),
        (form(phrases=b"a dog"), "multipart/form-data", 400, "phrases is not a JSON list"),
        (form(phrases=b"[]"), "multipart/form-data", 400, "phrases is not a JSON list"),
        (form(phrases=b"[1]"), "multipart/form-data", 400, "phrases is not a JSON list"),
        (form(max_side=b"-1"), "multipart/form-data", 400, "max_side is not a number"),
        (form(max_side=b""), "multipart/form-data", 400, "max_side is not a number"),
        (form(), "text/plain", 415, "text/plain, not multipart/form-data"),
        (form(image=b"no image"), "multipart/form-data", 422, "not_an_image"),
        (form(image=picture()[:900]), "multipart/form-data", 422, "_image: "),
        (form(expected=b"other"), "multipart/form-data", 409, "other than wanted"),
        (form(phrases=b'["broken"]'), "multipart/form-data", 422, "RuntimeError: CUDA error"),
    ],
)
def test_a_bad_request_gets_one_line(
    server: Served, fields: dict[str, bytes], kind: str, status: int, line: str
) -> None:
    got, told = ask(server.url, fields, kind)
    assert (got, list(told)) == (status, ["error"]) and line in told["error"]
    assert "\n" not in told["error"]
    assert ask(server.url, form())[0] == 200  # goes on


def test_an_image_that_fails_among_others_is_at_fault(server: Served, folder: Path) -> None:
    client, _ = remote(server.url, load_config(str(folder / "detector.yaml")).detect)
    good = [client.submit(picture(seed), PHRASES, str(seed)) for seed in range(4)]
    bad = client.submit(picture(), ["broken"], "")
    with pytest.raises(DetectionFailed, match="^RuntimeError: CUDA error: an illegal memory"):
        bad.result(60)
    assert all(each.result(60) for each in good)
    client.close()


def test_a_full_queue_turns_away_and_clients_wait(folder: Path) -> None:
    """Sixteen may wait (eight batches of two); a client of forty gets all its boxes."""
    running = Served(write_config(folder / "full"), SLEEPS_S="0.2")
    try:
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda _: ask(running.url, form())[0], range(40)))
        assert set(answers) == {200, 429}
        config = load_config(str(folder / "full" / "detector.yaml")).detect
        clients = [remote(running.url, replace(config, batch_size=8))[0] for _ in range(2)]
        asked = [c.submit(picture(), PHRASES, str(n)) for n in range(30) for c in clients]
        assert all(len(each.result(120)) == 2 for each in asked)
        for client in clients:
            client.close()
    finally:
        running.kill()


def test_sigterm_finishes_what_has_begun(folder: Path) -> None:
    running = Served(write_config(folder / "draining"), SLEEPS_S="2")
    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(ask, running.url, form())
        while json.loads(urllib.request.urlopen(running.url + "/health").read())["waiting"] < 1:
            time.sleep(0.05)
        running.process.send_signal(signal.SIGTERM)
        late = 200
        while late == 200:
            try:
                late = ask(running.url, form())[0]
            except OSError:
                break
        assert late in (200, 503)
        assert begun.result(60)[0] == 200
    out, err = running.process.communicate(timeout=60)
    assert (running.process.returncode, out, err) == (0, "stopped\n", "")


def test_a_taken_port_is_one_line(server: Served, folder: Path) -> None:
    port = int(server.url.rpartition(":")[2])
    other = Served(folder / "detector.yaml", port=port)
    out, err = other.process.communicate(timeout=60)
    assert other.process.returncode == 1
    assert err.count("\n") == 1 and f"cannot listen on 127.0.0.1, port {port}" in err


def test_no_server_ends_in_one_line_and_rejects_nothing(folder: Path) -> None:
    config = load_config(str(folder / "detector.yaml")).detect
    client, asked = remote("http://127.0.0.1:9", config, outage_s=0.5)
    with pytest.raises(FinehardError, match="no detector answered for .* nothing was rejected"):
        client.submit(picture(), PHRASES, "").result(60)
    with pytest.raises(FinehardError, match="no detector answered"):  # all that follow, at once
        client.submit(picture(), PHRASES, "").result(60)
    client.close()
    with pytest.raises(FinehardError, match="no detector at http://127.0.0.1:9: .*serve-detector"):
        served_identity(asked, ImagesConfig())


def test_a_server_of_another_detector_is_not_asked(server: Served, folder: Path) -> None:
    config = load_config(str(folder / "detector.yaml")).detect
    client, _ = remote(server.url, replace(config, floor=0.1))
    with pytest.raises(FinehardError, match="no endpoint is a server of this detector"):
        client.submit(picture(), PHRASES, "").result(60)
    client.close()
