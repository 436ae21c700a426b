"""Installs `vllm_cpu_fix` into an environment: `python -m finehard.serve.vllm_cpu_env .venv-vllm`.

Idempotent; standard library only.
"""

import os
import sys
from pathlib import Path

from finehard.errors import FinehardError, UsageError

MODULE = "finehard_vllm_cpu_fix"


def install(venv: str | os.PathLike[str]) -> list[Path]:
    """Writes the module and its `.pth` file into each site-packages folder of `venv`.

    Returns the files that changed. Raises UsageError if `venv` is not a virtual environment.
    """
    folders = sorted(Path(venv).glob("lib/python3.*/site-packages"))
    if not folders:
        raise UsageError(f"{venv}: not a virtual environment (no lib/python3.*/site-packages)")
    source = Path(__file__).with_name("vllm_cpu_fix.py").read_text()
    changed = []
    for folder in folders:
        for name, text in ((f"{MODULE}.py", source), (f"{MODULE}.pth", f"import {MODULE}\n")):
            target = folder / name
            if target.exists() and target.read_text() == text:
                continue
            temporary = target.with_name(f".{name}.{os.getpid()}")
            temporary.write_text(text)
            temporary.replace(target)
            changed.append(target)
    return changed


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m finehard.serve.vllm_cpu_env VENV", file=sys.stderr)
        return 2
    try:
        changed = install(arguments[0])
    except FinehardError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
