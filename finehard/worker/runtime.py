"""A worker process's share of a build: its stages, clients, journal, images and detector."""

from __future__ import annotations

import atexit
import contextlib
import gc
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from finehard import registry, rejects
from finehard.config import Config
from finehard.dataset.removals import Removals, recorded
from finehard.detect import Detection, load_detector
from finehard.detect.batches import Batches
from finehard.detect.remote import RemoteDetector
from finehard.detect.stage import Detect
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.lmm.client import Client
from finehard.lmm.dialect import Dialect
from finehard.records import Record
from finehard.serve import Server, ensure_server
from finehard.sources.identity import State, file_state
from finehard.stages.stage import Stage
from finehard.state import current_run
from finehard.state.checkpoints import Checkpoint
from finehard.state.journal import Journal
from finehard.worker.images import Images
from finehard.worker.reject_share import RejectShare
from finehard.worker.shares import Joined, Shares
from finehard.worker.status import Status


@dataclass
class Attempt:
    """A unit on its way through the stages: the identity of its input, what of it was settled
    before and is not read again, and, once all of it is read, the number of `items` that were."""

    identity: str
    before: Checkpoint | None = None
    items: int | None = None


@dataclass(frozen=True)
class Build:
    """One build: everything that workers need to know. `run` names this run; a build that was
    resumed has several. `storage` holds the options of object stores, secrets among them."""

    config: Config
    input: str
    output: str
    shards: int
    run: str
    pickled_stages: bytes = b""
    """Unpickled after `code` is installed, whose classes they may be instances of."""
    code: registry.UserCode = registry.UserCode()
    bundled: bool = True
    """Whether the pipeline is finehard's own."""

    dialects: dict[str, Dialect] = field(default_factory=dict)
    """What the servers were found to accept, by the models' names."""
    unread: dict[str, int] = field(default_factory=dict)
    """What was found in the input and is not read, by kind."""
    storage: storage.Options = field(default_factory=dict, repr=False)
    checkpoints: str = ""
    """Under which the checkpoints of units are saved: a digest of all settings that decide what a
    unit comes to."""
    joined: Joined | None = None
    """Where several processes bring the units through: this one. Then no shards are written."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickles, and makes stores' options and the user's modules known in this process."""
        self.__dict__.update(state)
        storage.configure(self.storage)
        registry.install(self.code)

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages in their order."""
        return pickle.loads(self.pickled_stages) if self.pickled_stages else ()


class Runtime:
    """This process's share of a build, made on first use; see `runtime`."""

    def __init__(self, build: Build) -> None:
        # The garbage collector took a fifth of the CPU of a request. Records and replies form no
        # cycles, so it runs every 20,000 new objects instead of 700, and never over the imports.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        if build.joined is None:  # else other processes watch this one
            current_run.check_worker(build.output, build.run)
        self.build = build
        self.config = build.config
        self.stages = {stage.name: stage for stage in build.stages()}
        for stage in self.stages.values():
            rejects.declare(stage.reject_reasons)
        self.journal = Journal(build.output)
        self.removals = Removals(recorded(build.output))
        self.images = Images(self.config.images, lambda record: storage.read(record.image))
        self.status = Status(build.output, build.run)
        self.reject_share = RejectShare(self.config.max_rejected)
        self._clients: dict[str, Client] = {}
        self._server: Server | None = None
        self._detector: Batches | RemoteDetector | None = None
        self._lock = threading.Lock()
        self._open_samples: Counter[str] = Counter()
        self._open_units: set[str] = set()
        self.shares = (
            Shares(build.output, build.joined, build.config.source) if build.joined else None
        )
        self.attempts: dict[str, Attempt] = {}
        """By unit, for those of which a checkpoint can be saved."""
        self._remote_state = cache(file_state)

    @contextlib.contextmanager
    def ending_the_build(self) -> Iterator[None]:
        """Reports a `FinehardError` raised in the block as the reason why the build ends."""
        try:
            yield
        except FinehardError as error:
            self.status.fatal = str(error)
            raise

    def client(self, model: str) -> Client:
        """Returns the client of `model`. A model without endpoints is served by this machine's own
        server, which is started unless it is already running.

        The detector is loaded first: one that does not load is told before a question is paid.
        """
        with self._lock:
            if any(isinstance(stage, Detect) for stage in self.stages.values()):
                self._load_detector()
            if model not in self._clients:
                settings, check = self.config.models[model], None
                if not settings.endpoints:
                    server = self._own_server()
                    settings = replace(settings, model=server.model, endpoints=server.base_urls)
                    check = server.check
                self._clients[model] = Client(settings, check, self.build.dialects.get(model))
                self.status.watch(self._clients[model])
            return self._clients[model]

    def _own_server(self) -> Server:
        assert self.config.server is not None  # checked when the config was read
        self._server = self._server or ensure_server(self.config.server.engine)
        return self._server

    def detected(self, record: Record, phrases: list[str]) -> Future[list[Detection]]:
        """Returns the future detections of `phrases`, by the detector of this process, which is
        loaded on first use, or by its servers. Raises `ImageError`, `OSError` or `EOFError`."""
        with self._lock:
            detector = self._load_detector()
        pixels = self.images.pixels(record)  # later stages want them too, whoever detects
        if isinstance(detector, RemoteDetector):
            return detector.submit(self.images.data(record), phrases, record.sha256)
        return detector.submit(pixels, phrases)

    def detector_window(self) -> int:
        """Returns how many images the detector may have at once: a few batches, for each server as
        far as they are known."""
        if isinstance(self._detector, RemoteDetector):
            return self._detector.window
        return 4 * self.config.detect.batch_size

    def _load_detector(self) -> Batches | RemoteDetector:
        if self._detector is None:
            config = self.config.detect
            if config.endpoints:
                [stage] = [s for s in self.stages.values() if isinstance(s, Detect)]
                max_side = self.config.images.max_side
                self._detector = RemoteDetector(config, max_side, stage.identity())
            else:
                self._detector = Batches([load_detector(config)], config.batch_size)
        return self._detector

    def file_state(self, uri: str) -> State:
        """Returns the state of a source file; of one in a store, as it was when first asked for."""
        return self._remote_state(uri) if storage.is_remote(uri) else file_state(uri)

    def begin_unit(self, unit: str, attempt: Attempt | None = None) -> None:
        """Marks `unit` as being read: it cannot be complete before `end_unit`. With an `attempt`,
        a checkpoint of it can be saved."""
        with self._lock:
            self._open_units.add(unit)
            self._open_samples[unit] = 0  # an earlier attempt may have failed half-way
            self.attempts.pop(unit, None)
            if attempt is not None:
                self.attempts[unit] = attempt

    def count_in(self, unit: str) -> None:
        """Counts a sample of `unit` as read."""
        with self._lock:
            self._open_samples[unit] += 1
            self.status.read += 1

    def end_unit(self, unit: str, items: int) -> None:
        """Marks all of `unit` as read: `items` samples and rejects."""
        with self._lock:
            self._open_units.discard(unit)
            if (attempt := self.attempts.get(unit)) is not None:
                attempt.items = items
        self._finish_if_complete(unit)

    def count_out(self, unit: str, source: str, rejected: bool) -> None:
        """Counts a sample of `unit` as done with all stages; `source` is its image."""
        self.images.drop(source)
        with self._lock:
            self._open_samples[unit] -= 1
            self.status.done += 1
            self.status.rejected += rejected
        self._finish_if_complete(unit)

    def _finish_if_complete(self, unit: str) -> None:
        with self._lock:
            if unit in self._open_units or self._open_samples[unit] > 0:
                return
            del self._open_samples[unit]
        self.journal.finish(unit, partial(self.shares.end_part, unit) if self.shares else None)

    def close(self) -> None:
        """Flushes the journal and the status, closes connections, releases the server."""
        with contextlib.ExitStack() as stack:  # a failure does not keep the rest open
            if self._server is not None:
                stack.callback(self._server.close)
            for client in self._clients.values():
                stack.callback(client.close)
            if self._detector is not None:
                stack.callback(self._detector.close)
            stack.callback(self.status.close)
            stack.callback(self.journal.close)


_runtimes: dict[str, Runtime] = {}
_lock = threading.Lock()


def runtime(build: Build) -> Runtime:
    """Returns this process's runtime for `build`."""
    with _lock:
        if build.run not in _runtimes:
            _runtimes[build.run] = Runtime(build)
        return _runtimes[build.run]


def close_all() -> None:
    """Closes every runtime of this process; also called when the process exits."""
    with _lock:
        while _runtimes:
            _runtimes.popitem()[1].close()


atexit.register(close_all)
