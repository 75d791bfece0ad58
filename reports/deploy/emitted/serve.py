# SPDX-License-Identifier: Apache-2.0
"""The model over HTTP: POST a batch as .npy (or several inputs as .npz) to /infer, and get its outputs as .npy.

Every worker is a process of its own; all listen on the same port, and the kernel deals connections out to them.
"""

import argparse
import io
import math
import signal
import sys
import threading
import zipfile
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from types import FrameType
from typing import Any

import numpy as np
from model import Model, load, sample

MOST_CONNECTIONS = 256
IDLE_S = 30.0  # a connection that says nothing for so long is closed
WAIT_S = 30.0  # a request that cannot be worked on for so long is answered with 503
GRACE_S = 8.0  # docker stop kills after ten seconds
WRONG_INPUTS = (ValueError, KeyError, TypeError, RuntimeError, EOFError, OSError, zipfile.BadZipFile)


class Server(ThreadingMixIn, HTTPServer):
    """A thread for each connection, of which idle ones hold nobody up; as many inferences at a time as the runtime has streams for."""

    allow_reuse_port = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], model: Model, inputs: tuple[np.ndarray, ...]) -> None:
        self.model = model
        self.most_bytes = 2 * sum(each.nbytes for each in inputs) + 65536
        self.slots = threading.BoundedSemaphore(model.session.requests)
        self.working = 0
        self.idle = threading.Condition()
        self._connections = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection, or close it where there are too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left or was too slow is no news; anything else is told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def finish(self) -> None:
        """Wait until what is being worked on has been answered."""
        with self.idle:
            self.idle.wait_for(lambda: self.working == 0, GRACE_S)


class Handler(BaseHTTPRequestHandler):
    """Answers POST /infer, and GET /health."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK if self.path == "/health" else HTTPStatus.NOT_FOUND, b"", "text/plain")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if self.path != "/infer" or not (size.isascii() and size.isdigit()):
            self._refuse(HTTPStatus.BAD_REQUEST, "POST a .npy or .npz with its Content-Length to /infer")
            return
        if len(size) > 12 or int(size) > self.server.most_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self.server.most_bytes} bytes are taken")
            return
        with self.server.idle:
            self.server.working += 1
        try:
            self._infer(self.rfile.read(int(size)))
        finally:
            with self.server.idle:
                self.server.working -= 1
                self.server.idle.notify_all()

    def _infer(self, body: bytes) -> None:
        if not self.server.slots.acquire(timeout=WAIT_S):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too much to do")
            return
        try:
            outputs = self.server.model.infer(*arrays(body, self.server.most_bytes))
        except WRONG_INPUTS as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode(), "text/plain")
            return
        finally:
            self.server.slots.release()
        answer = io.BytesIO()
        np.save(answer, outputs)
        self._answer(HTTPStatus.OK, answer.getvalue(), "application/octet-stream")

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: writing lines costs more than a small model."""

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._answer(status, f"{why}\n".encode(), "text/plain")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def arrays(body: bytes, most_bytes: int) -> list[np.ndarray]:
    """Return the arrays of a .npy or .npz. Raises ValueError for those that say they are larger than `most_bytes`, before making room."""
    if not zipfile.is_zipfile(io.BytesIO(body)):
        return [_array(body, most_bytes)]
    with zipfile.ZipFile(io.BytesIO(body)) as members:
        if sum(member.file_size for member in members.infolist()) > most_bytes:
            raise ValueError(f"at most {most_bytes} bytes are taken, unpacked too")
        return [_array(members.read(name), most_bytes) for name in sorted(members.namelist())]


def _array(content: bytes, most_bytes: int) -> np.ndarray:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in {(1, 0), (2, 0)}:
        raise ValueError(f"a .npy of version {version} is not taken; write version 1.0 or 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > most_bytes:
        raise ValueError(f"an array of shape {shape} has more than {most_bytes} bytes")
    array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def main() -> int:
    """Serve until the process is ended; SIGTERM lets it answer what it works on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    with Server((options.host, options.port), load(), sample()[0]) as server:

        def end(_number: int, _frame: FrameType | None) -> None:
            threading.Thread(target=server.shutdown, daemon=True).start()  # it waits for the loop, which this thread runs

        signal.signal(signal.SIGTERM, end)
        print(f"serving on {server.server_address[0]!s}:{server.server_address[1]}", file=sys.stderr, flush=True)
        server.serve_forever()
        server.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
