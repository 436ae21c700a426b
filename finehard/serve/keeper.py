"""Runs one engine and dies with whoever started it: `python keeper.py COMMAND...`.

The supervisor starts it as the leader of a new process group and holds the other end of its
standard input. When that end closes, because the supervisor ended or was killed, the whole group is
killed: also the engine's own subprocesses. It uses the standard library only and imports little.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h
libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_group_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Returns the engine's exit status, 128 + signal when a signal ended it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Meant for the engine, which gets it too. A handler, unlike SIG_IGN, is not inherited.
        signal.signal(number, lambda *_: None)
    try:
        engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror or error}", flush=True)
        return 127
    threading.Thread(target=kill_group_at_end_of_input, daemon=True).start()
    status = engine.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
