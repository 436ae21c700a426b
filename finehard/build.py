"""The build command: checks everything first, starts what is needed, runs the pipeline, sums up."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from finehard.config import Config, resolved
from finehard.console.progress import Progress
from finehard.dataset import complete as dataset
from finehard.dataset.layout import JOURNAL, MANIFEST, shard_count
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.lmm.client import Client
from finehard.sources import SourceFile, count, discover
from finehard.state.lock import locked


def prepare(source: str, config: Config) -> tuple[list[SourceFile], int, Config]:
    """What a build and a plan both need: the files, how many inputs they hold, the config with
    every model's revision. Raises `UsageError` or `FinehardError`."""
    files = discover(source)
    images = sum(count(file, config.source) for file in files)
    if images == 0:
        raise FinehardError(f"{source} holds no images")
    return files, images, resolved(config)


def build(config: Config, source: str, output: str, beam_arguments: list[str]) -> dict[str, Any]:
    """Builds `source` into the dataset `output`, and returns its manifest.

    Raises `UsageError` before anything is written, `FinehardError` when it fails; then the same
    command goes on where it stopped.
    """
    from finehard.beam import run
    from finehard.state.settings_snapshot import note_settings, refuse_changes
    from finehard.worker import status
    from finehard.worker.runtime import Build, close_all
    from pipelines.build_finehard import build_finehard

    logging.basicConfig(format="finehard: %(message)s", level=logging.WARNING)
    source, output = storage.local(source), storage.local(output)
    options = run.options(beam_arguments)
    stores = storage.configure(run.storage_options(options))
    files, images, config = prepare(source, config)
    _check_output(output, source)
    with locked(output), contextlib.ExitStack() as stack:
        refuse_changes(output, config)
        this = Build(
            config=config,
            input=source,
            output=output,
            shards=shard_count(images, config.shards),
            run=f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}",
            storage=stores,
        )
        _serve(config, stack)
        for folder in ("_journal", "shards", "rejected"):
            storage.sweep(storage.join(output, folder))
        note_settings(output, config)  # before the manifest, which told them too, is gone
        dataset.begin(output)
        stack.callback(close_all)
        stack.enter_context(_told_how_to_resume(close_all))
        started = time.monotonic()
        print(f"building {images} images from {source} into {output}", file=sys.stderr)
        with Progress(lambda: status.total(output, this.run), images):
            try:
                run.run(lambda pipeline: build_finehard(pipeline, files, this), options)
            except FinehardError as error:
                fatal = status.total(output, this.run)["fatal"]
                raise FinehardError(fatal or str(error)) from error
        try:
            close_all()
        except FinehardError as error:  # only what is kept for a later run is concerned
            print(f"finehard: {error}; the dataset is complete", file=sys.stderr)
        manifest = json.loads(storage.read_all(storage.join(output, MANIFEST)))
        counts = status.total(output, this.run)
        storage.delete_tree(status.folder(output, this.run))
        seconds = time.monotonic() - started
        _report(output, this.run, seconds, counts)
        _sum_up(manifest, counts, output, seconds)
    if manifest["counts"]["written"] == 0:
        [(reason, number)] = sorted(manifest["rejects"].items(), key=lambda r: -r[1])[:1]
        raise FinehardError(
            f"nothing could be written: all {manifest['counts']['read']} images were rejected, "
            f"{number} for {reason}; see {storage.join(output, 'rejected')}"
        )
    return manifest


def _check_output(output: str, source: str) -> None:
    if output == source or source.startswith(output.rstrip("/") + "/shards"):
        raise UsageError(f"output {output} is the input: choose another folder")
    if storage.is_remote(output):
        return
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"output {output} is a file, not a folder")
    if os.path.isdir(output):
        names = os.listdir(output)
        if names and JOURNAL not in names and MANIFEST not in names:
            raise UsageError(
                f"output {output} holds other files ({names[0]}): choose an empty folder"
            )
    try:
        os.makedirs(output, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make output {output}: {error.strerror}") from None


def _serve(config: Config, stack: contextlib.ExitStack) -> None:
    """Checks that every model answers; starts this machine's server where one is configured."""
    unserved = [m.model for m in config.models.values() if not m.endpoints]
    if unserved and config.server is not None and config.server.where == "driver":
        from finehard.serve import ensure_server

        print(f"starting a server for {unserved[0]} ...", file=sys.stderr, flush=True)
        stack.enter_context(ensure_server(config.server.engine))  # workers here join it
    for settings in config.models.values():
        if settings.endpoints:
            client = Client(settings)
            try:
                client.check()
            finally:
                client.close()


@contextlib.contextmanager
def _told_how_to_resume(close_all: Any) -> Iterator[None]:
    """On SIGINT and SIGTERM keeps what has been answered, says how to go on, and ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        def leave() -> None:
            closing = threading.Thread(target=close_all, daemon=True)
            closing.start()
            closing.join(8.0)
            command = shlex.join(["finehard", *sys.argv[1:]])
            print(
                f"\nfinehard: stopped; everything answered so far is kept. To go on: {command}",
                file=sys.stderr,
                flush=True,
            )
            os._exit(128 + number)

        threading.Thread(target=leave).start()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(output: str, run: str, seconds: float, counts: dict[str, Any]) -> None:
    """Writes report.html; a dataset without one is whole all the same, so failing is told only."""
    from finehard.report import report
    from finehard.report.funnel import note_run

    try:
        note_run(output, run, seconds, counts)
        report(output)
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        print(
            f"finehard: no report.html ({type(error).__name__}: {line}); the dataset is complete, "
            f"try: finehard report {shlex.quote(output)}",
            file=sys.stderr,
        )


def _sum_up(manifest: dict[str, Any], counts: dict[str, Any], output: str, seconds: float) -> None:
    made = manifest["counts"]
    lines = [
        f"{made['read']} read = {made['written']} written + {made['rejected']} rejected, "
        f"{made['regions']} regions, {made['hard_negatives']} hard negatives, in {seconds:.0f} s"
    ]
    if manifest["rejects"]:
        reasons = (f"{reason} {number}" for reason, number in manifest["rejects"].items())
        lines.append("rejected for " + ", ".join(reasons))
    if made["renamed_keys"]:
        lines.append(f"{made['renamed_keys']} keys occurred before and were made unique (KEY~2)")
    requests = sum(s.get("requests", 0) for s in counts["stages"].values())
    retries = sum(s.get("retries", 0) + s.get("invalid", 0) for s in counts["stages"].values())
    kept = sum(s.get("from_journal", 0) for s in counts["stages"].values())
    lines.append(
        f"{requests} requests ({retries} of them second tries), {kept} answers from the journal"
    )
    lines.append(f"dataset: {output} (look at report.html, README.md, rejected/)")
    print("\n".join(lines))
