"""What a worker process holds once, for all stages: clients, journal, images, the detector."""

from __future__ import annotations

import atexit
import contextlib
import gc
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from finehard.config import Config
from finehard.detect import Detection, Detector, load_detector
from finehard.io import storage
from finehard.lmm.client import Client
from finehard.serve import Server, ensure_server
from finehard.state.journal import Journal
from finehard.worker.images import Images
from finehard.worker.status import Status


@dataclass(frozen=True)
class Build:
    """One build: everything that workers are told. `run` names this run (a build that was resumed
    has several); `storage` holds the options of the stores, secrets among them."""

    config: Config
    input: str
    output: str
    shards: int
    run: str
    storage: storage.Options = field(default_factory=dict, repr=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickles, and sets the stores' options: not every step of a worker has a runtime."""
        self.__dict__.update(state)
        storage.configure(self.storage)


class Runtime:
    """This process's share of a build. Made once, on first use; see `runtime`."""

    def __init__(self, build: Build) -> None:
        # one collection for so many new objects, not for 700, and none of what was imported: a
        # fifth less CPU a request. Records and replies are in no cycles: little is left lying about
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        self.build = build
        self.config = build.config
        self.journal = Journal(build.output)
        self.images = Images(self.config.images, lambda record: storage.read(record.image))
        self.status = Status(build.output, build.run)
        self._clients: dict[str, Client] = {}
        self._server: Server | None = None
        self._detections: Detections | None = None
        self._lock = threading.Lock()
        self._left: Counter[str] = Counter()
        self._unread: set[str] = set()

    def client(self, model: str) -> Client:
        """The client of model `model`; one without endpoints is asked on this machine's own server,
        which is joined where it runs, else started."""
        with self._lock:
            if model not in self._clients:
                settings, check = self.config.models[model], None
                if not settings.endpoints:
                    server = self._own_server()
                    settings = replace(settings, model=server.model, endpoints=server.base_urls)
                    check = server.check
                self._clients[model] = Client(settings, check)
                self.status.watch(self._clients[model])
            return self._clients[model]

    def _own_server(self) -> Server:
        assert self.config.server is not None  # checked when the config was read
        self._server = self._server or ensure_server(self.config.server.engine)
        return self._server

    def detections(self) -> Detections:
        """The detector and its thread."""
        with self._lock:
            if self._detections is None:
                self._detections = Detections(load_detector(self.config.detect), self.config)
            return self._detections

    def reading(self, unit: str) -> None:
        """A unit begins; it is not through before it has been read to its end."""
        self._unread.add(unit)

    def entered(self, unit: str) -> None:
        """A sample of `unit` was read."""
        with self._lock:
            self._left[unit] += 1
            self.status.read += 1

    def was_read(self, unit: str) -> None:
        """All of `unit` was read."""
        with self._lock:
            self._unread.discard(unit)
        self._maybe_finish(unit)

    def left(self, unit: str, source: str, rejected: bool) -> None:
        """A sample of `unit` is through all stages, as a sample or a reject."""
        self.images.drop(source)
        with self._lock:
            self._left[unit] -= 1
            self.status.done += 1
            self.status.rejected += rejected
        self._maybe_finish(unit)

    def _maybe_finish(self, unit: str) -> None:
        with self._lock:
            if unit in self._unread or self._left[unit] > 0:
                return
            del self._left[unit]
        self.journal.finish(unit)

    def close(self) -> None:
        """Flushes the journal and the status, closes connections, lets go of the server."""
        with contextlib.ExitStack() as stack:  # the rest is closed whatever fails
            if self._server is not None:
                stack.callback(self._server.close)
            for client in self._clients.values():
                stack.callback(client.close)
            if self._detections is not None:
                stack.callback(self._detections.close)
            stack.callback(self.status.close)
            stack.callback(self.journal.close)


_Waiting = tuple[Any, list[str], Future[list[Detection]]]


class Detections:
    """A detector in a thread of its own, so that requests go on while it works.

    It takes what waits, up to a batch, and never waits for a batch to fill.
    """

    def __init__(self, detector: Detector, config: Config) -> None:
        self.detector = detector
        self._batch = config.detect.batch_size
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="finehard-detect", daemon=True)
        self._thread.start()

    def submit(self, image: Any, phrases: list[str]) -> Future[list[Detection]]:
        """Detects `phrases` in a PIL image."""
        future: Future[list[Detection]] = Future()
        self._waiting.put((image, phrases, future))
        return future

    def close(self) -> None:
        """Ends the thread, once it is through with what waits."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < self._batch and not self._waiting.empty():
                waiting = self._waiting.get()
                if waiting is None:
                    self._waiting.put(None)  # seen again after this batch
                    break
                batch.append(waiting)
            self._detect(batch)

    def _detect(self, batch: list[_Waiting]) -> None:
        try:
            found = self.detector.detect([b[0] for b in batch], [b[1] for b in batch])
        except Exception as error:
            for _, _, future in batch:
                future.set_exception(error)
            return
        for (_, _, future), detections in zip(batch, found, strict=True):
            future.set_result(detections)


_runtimes: dict[str, Runtime] = {}
_lock = threading.Lock()


def runtime(build: Build) -> Runtime:
    """This process's runtime for `build`."""
    with _lock:
        if build.run not in _runtimes:
            _runtimes[build.run] = Runtime(build)
        return _runtimes[build.run]


def close_all() -> None:
    """Closes what `runtime` made; also runs when the process ends."""
    with _lock:
        while _runtimes:
            _runtimes.popitem()[1].close()


atexit.register(close_all)
