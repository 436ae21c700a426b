"""Shared by the backends: torch settings, model loading, fixed-size batches."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finehard.detect.config import DetectConfig
from finehard.errors import FinehardError

if TYPE_CHECKING:
    import torch


class Runtime(NamedTuple):
    """The device and precision a model runs with."""

    device: "torch.device"
    dtype: "torch.dtype"
    rows: int
    """Batch size of every forward pass."""


def require(module: str, extra: str, key: str) -> Any:
    """Imports and returns `module`. Raises `FinehardError` naming the extra that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise FinehardError(
            f"{key}: this detector needs the package {package!r} ({error}); "
            f"install it with: pip install 'finehard[{extra}]'"
        ) from error


def find_device(config: DetectConfig) -> "torch.device":
    """Returns the configured device. Raises `FinehardError` if it is not available."""
    torch = require("torch", "detect", "detect.backend")
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise FinehardError(
            f"detect.device: {config.device!r} cannot be used ({reason}); set it to auto or cpu."
        ) from error
    return device


def prepare(config: DetectConfig) -> Runtime:
    """Configures torch for reproducible results, for the whole process.

    On a CPU the batch size is 1: a row's last bits can depend on its position in a larger batch,
    which would be little faster. Raises `FinehardError` if the device is not available.
    """
    device = find_device(config)
    import torch

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    rows = 1 if device.type == "cpu" else config.batch_size
    return Runtime(device, getattr(torch, config.dtype), rows)


def check_model(name: str, key: str) -> None:
    """Raises `FinehardError` unless `name` is a local model folder or could be a hub name."""
    path = Path(name)
    is_local = not name or path.is_absolute() or path.suffix in (".pt", ".yaml")
    if is_local and not (name and path.is_dir()):
        raise FinehardError(f"{key}: there is no folder {name!r}.")
    if path.is_dir() and not (path / "config.json").is_file():
        raise FinehardError(f"{key}: the folder {name!r} is not a complete model (no config.json).")


def from_pretrained(auto_class: str, name: str, key: str, revision: str | None, **more: Any) -> Any:
    """Calls `transformers.<auto_class>.from_pretrained` without remote code.

    A local folder is read without network access. Raises `FinehardError` naming the config key.
    """
    transformers = require("transformers", "detect", key)
    transformers.utils.logging.disable_progress_bar()
    check_model(name, key)
    local = Path(name).is_dir()
    try:
        return getattr(transformers, auto_class).from_pretrained(
            name,
            revision=None if local else revision,
            local_files_only=local,
            trust_remote_code=False,
            **more,
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        where = "the folder is not a complete model" if local else "it could not be fetched"
        raise FinehardError(
            f"{key}: cannot load {name!r}: {where} ({reason}); give a "
            "folder with config, tokenizer and model.safetensors, or a name on a hub in reach."
        ) from error


def load_model(auto_class: str, name: str, key: str, revision: str | None, runtime: Runtime) -> Any:
    """Loads a transformers model from safetensors, in eval mode. Raises `FinehardError`."""
    model = from_pretrained(auto_class, name, key, revision, use_safetensors=True)
    return model.to(device=runtime.device, dtype=runtime.dtype).eval().requires_grad_(False)


def load_zero_shot(
    config: DetectConfig, backend: str, model_types: tuple[str, ...]
) -> tuple[Any, Any, Any, Runtime]:
    """Loads a zero-shot detection model of transformers; returns (model, tokenizer, processor,
    runtime). Raises `FinehardError` if it cannot be loaded or is not one of `model_types`."""
    runtime = prepare(config)
    source = (config.model, "detect.model", config.revision)
    tokenizer = from_pretrained("AutoTokenizer", *source)
    processor = from_pretrained("AutoImageProcessor", *source)
    model = load_model("AutoModelForZeroShotObjectDetection", *source, runtime)
    if model.config.model_type not in model_types:
        raise FinehardError(
            f"detect.model: {config.model!r} is a {model.config.model_type!r} model, which "
            f"detect.backend {backend} cannot run."
        )
    return model, tokenizer, processor, runtime


def fixed_batches(items: Sequence[Any], rows: int) -> Iterator[tuple[list[Any], int]]:
    """Yields `items` in lists of exactly `rows`, each with its number of real entries.

    The last list is padded with copies of its last item: with a constant batch shape torch always
    chooses the same kernels, so results do not depend on the batch.
    """
    rest = iter(items)
    while batch := list(islice(rest, rows)):
        yield batch + [batch[-1]] * (rows - len(batch)), len(batch)


def bucket(count: int, smallest: int) -> int:
    """Returns `smallest`, doubled until it is at least `count`."""
    while smallest < count:
        smallest *= 2
    return smallest
