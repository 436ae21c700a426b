"""Runs one engine and kills it when the supervisor dies: `python process_guard.py COMMAND...`.

The supervisor starts this script as the leader of a new process group and holds the write end of
its standard input. When that end is closed, because the supervisor exited or was killed, the script
kills the whole group, including the engine's subprocesses. Standard library only.
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
    """Makes the kernel kill the calling process when its parent dies (Linux only)."""
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_group_at_end_of_input() -> None:
    """Blocks until standard input is closed, then kills the process group."""
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Returns the engine's exit status; 128 + the signal number if a signal ended it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # For the engine, which also receives it. Unlike SIG_IGN, a handler is not inherited.
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
