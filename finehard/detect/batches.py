"""Detectors in threads of their own, so that requests continue while they work."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from finehard.detect.boxes import Detection
from finehard.detect.detector import Detector
from finehard.errors import FinehardError

_Waiting = tuple[Any, list[str], Future[list[Detection]]]


class Batches:
    """A queue of images and phrases, detected in batches by the next free one of `detectors`.

    A batch is whatever is waiting, up to `batch_size`; no thread waits for one to fill.
    """

    def __init__(self, detectors: Sequence[Detector], batch_size: int) -> None:
        self._batch_size = batch_size
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._run, args=(detector,), name="finehard-detect", daemon=True
            )
            for detector in detectors
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, image: Any, phrases: list[str]) -> Future[list[Detection]]:
        """Returns the future detections of `phrases` in a PIL image."""
        future: Future[list[Detection]] = Future()
        self._waiting.put((image, phrases, future))
        return future

    def close(self) -> None:
        """Ends the threads after they have finished what is waiting."""
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, detector: Detector) -> None:
        while (batch := self._next_batch()) is not None:
            _detect(detector, batch)

    def _next_batch(self) -> list[_Waiting] | None:
        """Waits for a batch; returns None where there will be no more."""
        first = self._waiting.get()
        if first is None:
            self._waiting.put(None)  # for the other threads
            return None
        batch = [first]
        while len(batch) < self._batch_size:
            try:
                waiting = self._waiting.get_nowait()
            except Empty:
                break
            if waiting is None:
                self._waiting.put(None)  # ends the threads after this batch
                break
            batch.append(waiting)
        return batch


def _detect(detector: Detector, batch: list[_Waiting]) -> None:
    try:
        answers = detector.detect([b[0] for b in batch], [b[1] for b in batch])
    except FinehardError as error:
        for _, _, future in batch:
            future.set_exception(error)
    except Exception as error:
        if len(batch) == 1:
            batch[0][2].set_exception(error)
        else:  # one image may have failed all: each is tried alone
            for waiting in batch:
                _detect(detector, [waiting])
    else:
        for (_, _, future), detections in zip(batch, answers, strict=True):
            future.set_result(detections)
