"""The Lambda Runtime API for one function: notes when it polls, gives it events, takes its answers."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/2018-06-01/runtime/invocation/"
FUNCTION_SECONDS = 900  # as the runner's Timeout in infra/template.yaml


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A function that is killed leaves its connection; anything else is worth its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RuntimeApi:
    """Listens on a free port of 127.0.0.1 until it is closed."""

    def __init__(self) -> None:
        self.polls: queue.Queue[int] = queue.Queue()  # when each came, monotonic ns
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()  # "response" or "error", its body
        self._events: queue.Queue[Any] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def invoke(self, event: Any) -> None:
        """What the next poll is answered with; until then it waits, as in Lambda."""
        self._events.put(event)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                api.polls.put(time.monotonic_ns())
                assert self.path == f"{PREFIX}next", self.path
                event = api._events.get()
                dead_at = int((time.time() + FUNCTION_SECONDS) * 1000)
                self._answer(200, json.dumps(event).encode(), {
                    "Lambda-Runtime-Aws-Request-Id": f"request-{dead_at}",
                    "Lambda-Runtime-Deadline-Ms": str(dead_at),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:x"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.answers.put((self.path.rsplit("/", 1)[-1], json.loads(body or b"null")))
                self._answer(202, b"", {})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
