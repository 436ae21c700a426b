"""Detector servers in processes of their own, with a detector whose boxes tell the pixels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

DETECTOR = '''
import os, time, zlib
from finehard.detect import Detection

class Pixels:
    """A box for each phrase, by the pixels. Fails on phrases with the word in FAILS_ON."""

    def __init__(self, sleep_s):
        self.sleep_s = sleep_s

    def detect(self, images, phrases):
        time.sleep(self.sleep_s)
        return [[self.box(image, i, p) for i, p in enumerate(own)]
                for image, own in zip(images, phrases)]

    def box(self, image, index, phrase):
        word = os.environ.get("FAILS_ON")
        if word and word in phrase:
            raise RuntimeError("CUDA error: an illegal memory access")
        seed = zlib.crc32(image.tobytes() + phrase.encode())
        x, y = seed % 60 / 100, seed // 60 % 60 / 100
        return Detection(index, (x, y, x + 0.3, y + 0.3), 0.5 + seed % 40 / 100)

def load(config):
    return Pixels(float(os.environ.get("SLEEPS_S", "0")))
'''


def write_config(folder: Path, **detect: Any) -> Path:
    """Writes the detector, and a config with it; `detect` adds to its section."""
    folder.mkdir(exist_ok=True)
    (folder / "pixel_detector.py").write_text(DETECTOR)
    model = {"model": "none", "endpoints": ["http://127.0.0.1:9/v1"]}
    detect = {"backend": "pixel_detector:load", "device": "cpu", "batch_size": 2, **detect}
    path = folder / "detector.yaml"
    path.write_text(json.dumps({"models": {"lmm": model, "llm": model}, "detect": detect}))
    return path


class Served:
    """A running `finehard serve-detector`; `environment` reaches the detector."""

    def __init__(self, config: Path, *options: str, port: int = 0, **environment: str) -> None:
        command = [sys.executable, "-m", "finehard.cli", "serve-detector", "--config", str(config),
                   "--port", str(port), *options]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split(" ")[0].strip()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal; returns the exit code, and what the server printed after its URL."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """Kills the server, if it still runs."""
        self.process.kill()
        self.process.communicate()
