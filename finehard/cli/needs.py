"""Prints what a build needs and this machine lacks, as targets of the Makefile.

`python -m finehard.cli.needs --config C --input I --output O`; needs finehard's own dependencies
only.
"""

from __future__ import annotations

from finehard.config import Config, load_config
from finehard.console.arguments import Parser
from finehard.console.errors import exit_code
from finehard.detect.weights import Needed, needed
from finehard.io.remote import SCHEMES
from finehard.packages import installed
from finehard.serve.engines import choose_engine, find_vllm_python, has_gpu

EXTRAS = {
    "detect": ("torch", "torchvision", "transformers", "scipy"),
    "yolo": ("torch", "torchvision", "transformers", "scipy", "ultralytics"),
    "serve": ("torch", "torchvision", "transformers", "fastapi", "uvicorn"),
    "aws": ("boto3",),
    "gcp": ("google.cloud.storage", "google.cloud.dataflow_v1beta3"),
    "azure": ("azure.storage.blob", "azure.identity"),
    "hub": ("huggingface_hub",),
    "curate": ("imagehash",),
    "train": ("torch", "torchvision", "transformers"),
}
"""What each extra of finehard's installs, as far as finehard imports it."""
_DETECT = {"owlv2": "detect", "grounding_dino": "detect", "yolo_world": "yolo"}
_STORES = {"s3": "aws", "gs": "gcp", "az": "azure", "hf": "hub"}


def extras(config: Config, uris: list[str]) -> list[str]:
    """Returns the extras that a build with `config` from and to `uris` imports."""
    detects = _detects_here(config) and config.detect.backend in _DETECT
    found = {_DETECT[config.detect.backend]} if detects else set()
    if own_server(config) and config.server is not None:
        found |= {"serve"} if choose_engine(config.server.engine) == "transformers" else set()
    found |= {"curate"} if config.curate.evaluation else set()
    found |= {"train"} if config.curate.similarity else set()
    found |= {"gcp"} if config.dataflow is not None else set()
    schemes = (SCHEMES.get(uri.partition("://")[0], "") for uri in uris if "://" in uri)
    return sorted(found | {_STORES[scheme] for scheme in schemes if scheme in _STORES})


def own_server(config: Config) -> bool:
    """Returns whether finehard starts a model server on the machine of the command, with an
    interpreter that it has to find."""
    unserved = any(not model.endpoints for model in config.models.values())
    server = config.server
    return unserved and server is not None and server.where == "driver" and not server.engine.python


def vllm_target(config: Config) -> str | None:
    """Returns the target that installs vLLM; None where it is installed or not needed.

    Without a GPU too it is the GPU build: environments are often made on another machine than the
    one that runs the build. There vLLM's CPU build, if it is installed, is enough.
    """
    if not own_server(config) or config.server is None or config.server.engine.engine != "vllm":
        return None
    found = find_vllm_python()
    return "setup-vllm-gpu" if found is None or (found[1] and has_gpu()) else None


def targets(config: Config, uris: list[str]) -> list[str]:
    """Returns the arguments of make that install what is missing."""
    lacking = [name for name in extras(config, uris) if not all(map(installed, EXTRAS[name]))]
    found = [f"EXTRAS={','.join(lacking)}", "extras"] if lacking else []
    if (vllm := vllm_target(config)) is not None:
        found.append(vllm)
    fetched = config.dataflow is None and _detects_here(config)
    weights = needed(config.detect) if fetched else Needed(None, ())
    return [*found, "weights"] if weights.file or weights.hub else found


def _detects_here(config: Config) -> bool:
    """Returns whether processes of a build with `config` load the detector."""
    return config.recaption is None and not config.detect.endpoints


def main() -> int:
    """Prints the targets in one line."""
    parser = Parser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--input", default="")
    parser.add_argument("--output", default="")
    chosen = parser.parse_args()
    print(*targets(load_config(chosen.config), [chosen.input, chosen.output]))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
