"""The `server.engine` section of a config: what to serve, and how."""

import difflib
from dataclasses import dataclass, field

from finehard.errors import UsageError

ENGINES = ("auto", "vllm", "transformers", "command")


@dataclass(frozen=True)
class ServeConfig:
    """One model server on this machine. Two equal configs share one server, but in a Slurm job or
    with the GPUs of `CUDA_VISIBLE_DEVICES` only with processes that have the same.

    Raises `UsageError` if a value is invalid.
    """

    engine: str = "auto"
    """"auto", "vllm", "transformers" or "command". "auto" is vLLM if this machine has a GPU and
    vLLM is installed, else `transformers serve`."""
    model: str = ""
    """A local folder or a hub name."""
    revision: str | None = None
    """A branch, tag or commit of a hub model."""
    args: tuple[str, ...] = ()
    """Arguments of the engine, appended to those that finehard sets."""
    command: tuple[str, ...] = ()
    """With engine "command": the command line of any server with the OpenAI protocol. "{port}" is
    replaced by the port to listen on (127.0.0.1), "{model}" by the model."""
    env: dict[str, str] = field(default_factory=dict, repr=False, hash=False)
    """Additional environment of the engine; never logged or written to disk."""
    python: str | None = None
    """The interpreter with the engine installed; None: this one if it has it, else that of
    .venv-vllm-gpu or .venv-vllm beside the project."""
    port: int = 0
    """The port of the first replica, 0 for any free one."""
    replicas: int = 1
    """Processes, each with the whole model and its own port; for `transformers serve`, which
    handles one image request at a time (vLLM has --data-parallel-size)."""
    startup_timeout_s: float = 600
    """Seconds from the start of the engine to its first reply."""
    max_crashes: int = 5
    """Consecutive crashes after which the server is given up."""
    unresponsive_s: float = 300
    """Seconds without a successful health check after which the engine is restarted."""
    linger_s: float = 2
    """Seconds for which the engine runs on after its last user has left."""
    stop_grace_s: float = 10
    """Seconds between SIGTERM and SIGKILL."""

    def __post_init__(self) -> None:
        for name in ("args", "command"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise UsageError(
                    f"server.engine.{name}: must be a list of words, not the text {value!r}"
                )
            object.__setattr__(self, name, tuple(str(word) for word in value))
        environment = {str(name): str(value) for name, value in self.env.items()}
        object.__setattr__(self, "env", environment)
        if self.engine not in ENGINES:
            near = difflib.get_close_matches(self.engine, ENGINES, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"server.engine.engine: {self.engine!r} is not one of {', '.join(ENGINES)}{hint}"
            )
        if self.engine == "command":
            if not any("{port}" in word for word in self.command):
                raise UsageError(
                    "server.engine.command: must contain {port}, which is replaced by the port"
                )
        elif self.command:
            raise UsageError(
                f"server.engine.command: only engine 'command' uses it, not {self.engine!r}"
            )
        elif not self.model:
            raise UsageError("server.engine.model: empty; name a local model folder or a hub model")
        for name, least in (("replicas", 1), ("max_crashes", 1), ("port", 0)):
            if getattr(self, name) < least:
                raise UsageError(
                    f"server.engine.{name}: {getattr(self, name)} is less than {least}"
                )
        for name in ("startup_timeout_s", "unresponsive_s", "linger_s", "stop_grace_s"):
            if getattr(self, name) < 0:
                raise UsageError(f"server.engine.{name}: {getattr(self, name)} is less than 0")
