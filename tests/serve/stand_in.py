"""A fake model server: a real process with real HTTP, no model. `stand_in.py PORT [MODE...]`.

MODE: "child" starts a subprocess that outlives it; "die" prints an error and exits at once;
"die-later" exits 0.3 s after its first reply; "refuse" answers chat requests with 400; "slow"
listens after 3 s; "deaf" ignores SIGTERM; "stuck" stops responding after its first reply; "secret"
prints $SECRET.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

modes = set(sys.argv[2:])
replied = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def reply(self, status: int, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        if "stuck" in modes and replied.is_set():
            time.sleep(60)
        self.reply(200, {"data": [{"id": "stand-in"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "refuse" in modes:
            return self.reply(400, {"detail": "ValueError: no such model"})
        message = {"role": "assistant", "content": f"pid {os.getpid()}"}
        self.reply(200, {"model": body["model"], "choices": [{"message": message}]})
        replied.set()


def main() -> None:
    if "secret" in modes:
        print("the key is", os.environ["SECRET"], flush=True)
    if "die" in modes:
        sys.exit("ValueError: this model cannot be loaded")
    if "deaf" in modes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in modes:
        subprocess.Popen(["sleep", "600"])
    if "slow" in modes:
        time.sleep(3)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    if "die-later" in modes:
        threading.Thread(target=lambda: (replied.wait(), time.sleep(0.3), os._exit(3))).start()
    server.serve_forever()


main()
