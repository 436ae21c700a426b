"""The event loop shared by a process's clients."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import threading
from finehard.fleet.loop import event_loop

threads, barrier, loops = [], threading.Barrier(32), []

def start():
    barrier.wait()
    loops.append(event_loop())

for _ in range(32):
    threads.append(threading.Thread(target=start))
    threads[-1].start()
for thread in threads:
    thread.join()
print(len(loops), len(set(map(id, loops))))
"""


def test_threads_starting_at_once_share_one_loop() -> None:
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
        assert result.stdout.split() == ["32", "1"], result.stderr
