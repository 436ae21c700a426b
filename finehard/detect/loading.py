"""What the backends share: torch's settings, loading a model, batches of one size."""

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
    """Where and how a model runs."""

    device: "torch.device"
    dtype: "torch.dtype"
    rows: int
    """Rows in every forward pass."""


def need(module: str, extra: str, key: str) -> Any:
    """The imported module. Raises FinehardError naming the extra that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise FinehardError(
            f"{key}: this detector needs the package {package!r} ({error}); "
            f"install it with: pip install 'finehard[{extra}]'"
        ) from error


def prepare(config: DetectConfig) -> Runtime:
    """Torch set up for repeatable results. Raises FinehardError when the device is not there.

    On a CPU one row runs at a time: rows of a larger batch can differ in their last bits with
    their place in it, and larger batches bring little there. Threads and cuDNN's choice of
    kernels are settings of the whole process.
    """
    torch = need("torch", "detect", "detect.backend")
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
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    rows = 1 if device.type == "cpu" else config.batch_size
    return Runtime(device, getattr(torch, config.dtype), rows)


def from_pretrained(auto_class: str, name: str, key: str, revision: str | None, **more: Any) -> Any:
    """`transformers.<auto_class>.from_pretrained`, without remote code.

    A local folder is read without the network. Raises FinehardError naming the config key.
    """
    transformers = need("transformers", "detect", key)
    transformers.utils.logging.disable_progress_bar()
    local = Path(name).is_dir()
    if not local and Path(name).is_absolute():
        raise FinehardError(f"{key}: there is no folder {name}.")
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
    """A transformers model in eval mode, from safetensors only. Raises FinehardError."""
    model = from_pretrained(auto_class, name, key, revision, use_safetensors=True)
    return model.to(device=runtime.device, dtype=runtime.dtype).eval().requires_grad_(False)


def fixed_batches(items: Sequence[Any], rows: int) -> Iterator[tuple[list[Any], int]]:
    """`items` in lists of exactly `rows`, the last one filled up with copies of its last item.

    Yields each list and how many of its entries are real. A model that always sees the same
    shape always takes the same way through its kernels.
    """
    rest = iter(items)
    while batch := list(islice(rest, rows)):
        yield batch + [batch[-1]] * (rows - len(batch)), len(batch)


def bucket(count: int, smallest: int) -> int:
    """`smallest` doubled until `count` fits."""
    while smallest < count:
        smallest *= 2
    return smallest
