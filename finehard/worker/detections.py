"""The detector in a thread of its own, so that requests continue while it works."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from finehard.detect import Detection, Detector
from finehard.errors import FinehardError

_Waiting = tuple[Any, list[str], Future[list[Detection]]]


class Detections:
    """A queue of images and phrases, detected in batches.

    A batch is whatever is waiting, up to `batch_size`; the thread never waits for one to fill.
    """

    def __init__(self, detector: Detector, batch_size: int) -> None:
        self.detector = detector
        self._batch_size = batch_size
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="finehard-detect", daemon=True)
        self._thread.start()

    def submit(self, image: Any, phrases: list[str]) -> Future[list[Detection]]:
        """Returns the future detections of `phrases` in a PIL image."""
        future: Future[list[Detection]] = Future()
        self._waiting.put((image, phrases, future))
        return future

    def close(self) -> None:
        """Ends the thread after it has finished what is waiting."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < self._batch_size and not self._waiting.empty():
                waiting = self._waiting.get()
                if waiting is None:
                    self._waiting.put(None)  # ends the thread after this batch
                    break
                batch.append(waiting)
            self._detect(batch)

    def _detect(self, batch: list[_Waiting]) -> None:
        try:
            answers = self.detector.detect([b[0] for b in batch], [b[1] for b in batch])
        except FinehardError as error:
            for _, _, future in batch:
                future.set_exception(error)
        except Exception as error:
            if len(batch) == 1:
                batch[0][2].set_exception(error)
            else:  # one image may have failed all: each is tried alone
                for waiting in batch:
                    self._detect([waiting])
        else:
            for (_, _, future), detections in zip(batch, answers, strict=True):
                future.set_result(detections)
