"""The connections of a function to AWS, by the real program against a server that counts them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import build_if_missing
from engine.function import Function
from scenarios.places import BOOTSTRAP

# Longer than a function keeps a connection that it does not use.
IDLE_S = 11.0


class Service(ThreadingHTTPServer):
    """Answers every call with a refusal, and notes the connection that each came on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        self.server.calls.append(self.client_address[1])
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"__type": "ParameterNotFound", "message": "none"}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_connection_that_was_idle_is_not_used_again(service: Service, tmp_path: Path) -> None:
    build_if_missing(BOOTSTRAP, "stillpoint-bootstrap")
    url = f"http://127.0.0.1:{service.server_address[1]}"
    with Function([str(BOOTSTRAP)], "planner", tmp_path / "log",
                  {"AWS_ENDPOINT_URL": url}) as planner:
        def calls() -> list[int]:
            before = len(service.calls)
            # Read and refused: a call to Parameter Store, and one to the bus.
            planner.api.invoke({"policyId": "none", "dryRun": True})
            kind, answer = planner.api.answers.get(timeout=20)
            assert (kind, answer["errorType"]) == ("error", "SP1002"), answer
            return service.calls[before:]

        first = calls()
        assert calls() == first, "within seconds it is the same connection"
        time.sleep(IDLE_S)
        assert not set(calls()) & set(first)
