# SPDX-License-Identifier: Apache-2.0
"""The model over HTTP: POST a batch as .npy (or several inputs as .npz) to /infer, and get its outputs as .npy.

Every worker is a process of its own; all listen on the same port, and the kernel deals connections out to them.
"""

import argparse
import io
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn

import numpy as np
from model import Model, load

LARGEST_BODY_BYTES = 2**30
WRONG_INPUTS = (ValueError, KeyError, TypeError, RuntimeError, EOFError, OSError)


class Server(HTTPServer):
    """One request at a time."""

    allow_reuse_port = True
    model: Model


class ServerOfStreams(ThreadingMixIn, Server):
    """As many requests at a time as the runtime has streams for; others wait."""

    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers POST /infer, and GET /health."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK if self.path == "/health" else HTTPStatus.NOT_FOUND, b"", "text/plain")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if self.path != "/infer" or not size.isdigit() or int(size) > LARGEST_BODY_BYTES:
            self.close_connection = True
            self._answer(HTTPStatus.BAD_REQUEST, b"POST a .npy or .npz with its Content-Length to /infer\n", "text/plain")
            return
        try:
            outputs = self.server.model.infer(*_arrays(self.rfile.read(int(size))))
        except WRONG_INPUTS as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode(), "text/plain")
            return
        body = io.BytesIO()
        np.save(body, outputs)
        self._answer(HTTPStatus.OK, body.getvalue(), "application/octet-stream")

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: writing lines costs more than a small model."""

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _arrays(body: bytes) -> list[np.ndarray]:
    read = np.load(io.BytesIO(body), allow_pickle=False)
    return [read] if isinstance(read, np.ndarray) else [read[name] for name in sorted(read.files)]


def main() -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    model = load()
    kind = ServerOfStreams if model.session.requests > 1 else Server
    with kind((options.host, options.port), Handler) as server:
        server.model = model
        print(f"serving on {server.server_address[0]!s}:{server.server_address[1]}", file=sys.stderr, flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
