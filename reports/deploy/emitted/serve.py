# SPDX-License-Identifier: Apache-2.0
"""The model over HTTP, by the Open Inference Protocol (KServe v2): uvicorn and Starlette serve, inference_protocol.py reads and writes.

    GET  /v2/health/live, /v2/health/ready, /v2, /v2/models/NAME, /v2/models/NAME/ready
    POST /v2/models/NAME/infer      tensors as JSON or as bytes

Every worker is a process of its own; all listen on the same port, and the kernel deals connections out to them. It listens as soon as the
model is warm, so nobody is sent to a worker that is not ready.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from inference_protocol import VERSION, Interface, Refused, Tensor
from model import Model, load, sample
from msgspec.json import encode
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 512  # what comes beyond is closed
MOST_HELD_BYTES = 256 * 2**20  # of bodies that wait or are worked on, or four times the longest; beyond it the answer is 503
IDLE_S = 75.0  # a connection that begins no request for so long is closed: longer than load balancers keep theirs
BODY_S = 30.0  # a body that takes longer is answered with 408
WAIT_S = 30.0  # a request that cannot be worked on for so long is answered with 503
GRACE_S = 8.0  # for what is being worked on at SIGTERM: docker stop kills after ten seconds
BACKLOG = 512
TOO_SLOW = 408
LENGTH_OF_JSON = "inference-header-content-length"


class Connection(H11Protocol):
    """uvicorn's connection, which ends where too many are open, and where no request has begun for IDLE_S, however slowly bytes drip in."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self.transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(IDLE_S, self.transport.abort)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Service:
    """The model behind its bounds: as many inferences at a time as the runtime has streams for, the others wait in order."""

    def __init__(self) -> None:
        # The thread that loads the model is the one that runs it: what PyTorch keeps for each thread (autocast's weights) is there.
        first = ThreadPoolExecutor(1)
        self.model: Model = first.submit(load).result()
        requests = self.model.session.requests
        self._inferring = first if requests == 1 else ThreadPoolExecutor(requests)
        self._reading = ThreadPoolExecutor(1)
        self._slots = asyncio.Semaphore(requests)
        self._held_bytes = 0
        inputs, expected = sample()
        self.interface = Interface(
            model=self.model.deployment["model"],
            platform=self.model.deployment["runtime"],
            batch_size=self.model.batch_size,
            inputs=tuple(Tensor.like(f"input_{number}", each) for number, each in enumerate(inputs)),
            output=Tensor.like("output_0", expected),
        )
        self._most_held_bytes = max(MOST_HELD_BYTES, 4 * self.interface.most_json_bytes)

    def routes(self) -> list[Route]:
        """Return what is served."""
        routes = [Route(f"/v2/health/{word}", _said({word: True})) for word in ("live", "ready")]
        routes.append(Route("/v2", _said({"name": "cpu-inference-ladder", "version": "2", "extensions": ["binary_tensor_data"]})))
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes.append(Route(path, self.describe))
            routes.append(Route(f"{path}/ready", self.ready))
            routes.append(Route(f"{path}/infer", self.infer, methods=["POST"]))
        return routes

    async def describe(self, request: Request) -> Response:
        self._check_name(request)
        return _json(200, self.interface.metadata())

    async def ready(self, request: Request) -> Response:
        self._check_name(request)
        return _json(200, {"name": self.interface.model, "ready": True})

    async def infer(self, request: Request) -> Response:
        self._check_name(request)
        json_bytes = _length_of_json(request)
        body = bytearray()
        try:
            await self._receive(request, body, self.interface.most_json_bytes if json_bytes is None else self.interface.most_binary_bytes)
            loop = asyncio.get_running_loop()
            asked = await loop.run_in_executor(self._reading, self.interface.read, body, json_bytes)
            async with self._slot():
                if await request.is_disconnected():
                    return Response()  # nobody is there to read it
                outputs = await loop.run_in_executor(self._inferring, self.model.infer, *asked.inputs)
            content, head_bytes = self.interface.answer(asked, outputs)
        except ClientDisconnect:
            return Response()
        finally:
            self._held_bytes -= len(body)
        if head_bytes is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={LENGTH_OF_JSON: str(head_bytes)})

    async def _receive(self, request: Request, body: bytearray, most_bytes: int) -> None:
        """Add the request's body to `body`. Raises Refused."""
        too_large = Refused(413, f"at most {most_bytes} bytes are taken")
        length = request.headers.get("content-length", "0")
        if len(length) > 18 or int(length) > most_bytes:  # h11 lets only digits through
            raise too_large
        try:
            async with asyncio.timeout(BODY_S):
                async for chunk in request.stream():
                    body += chunk
                    self._held_bytes += len(chunk)
                    if len(body) > most_bytes:
                        raise too_large
                    if self._held_bytes > self._most_held_bytes:
                        raise Refused(503, "too many requests are being worked on: try again later")
        except TimeoutError as error:
            raise Refused(TOO_SLOW, f"the body did not arrive within {BODY_S:g} s") from error

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for one of the runtime's streams. Raises Refused."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Refused(503, f"the model was busy for {WAIT_S:g} s: try again later") from error
        try:
            yield
        finally:
            self._slots.release()

    def _check_name(self, request: Request) -> None:
        name, version = request.path_params["model"], request.path_params.get("version", VERSION)
        if (name, version) != (self.interface.model, VERSION):
            raise Refused(404, f"served here is {self.interface.model!r}, version {VERSION}")


def _length_of_json(request: Request) -> int | None:
    """Return how many bytes of the body are JSON, where bytes of tensors follow. Raises Refused."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "compressed bodies are not taken")
    text = request.headers.get(LENGTH_OF_JSON)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Refused(400, "Inference-Header-Content-Length is not a number")
    return int(text)


def _said(words: dict[str, Any]) -> Any:
    async def say(_request: Request) -> Response:
        return _json(200, words)

    return say


def _json(status: int, words: dict[str, Any]) -> Response:
    return Response(encode(words), status, media_type="application/json")


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    answer = _json(error.status, {"error": str(error)})
    if error.status == TOO_SLOW:
        answer.headers["connection"] = "close"
    return answer


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(error.status_code, {"error": f"{error.detail}: {request.method} {request.url.path[:200]}"})


async def _failed(_request: Request, error: Exception) -> Response:
    return _json(500, {"error": f"the model failed: {type(error).__name__}: {str(error)[:500]}"})


def application(service: Service) -> Starlette:
    """Return what uvicorn serves."""
    return Starlette(routes=service.routes(), exception_handlers={Refused: _refused, HTTPException: _unknown, Exception: _failed})


def main() -> int:
    """Serve until the process is ended; SIGTERM lets it answer what it works on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    options = parser.parse_args()
    # uvicorn ends what is under way, then raises the signal again. Without waiting for threads: a model that is being loaded loads on.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    service = Service()
    config = uvicorn.Config(
        application(service),
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="error",  # requests are not logged: writing lines costs more than a small model
        access_log=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=round(IDLE_S),
        timeout_graceful_shutdown=round(GRACE_S),
    )
    with _listening(options.host, options.port) as listener:
        host, port = listener.getsockname()[:2]
        sys.stderr.write(f"serving on {host}:{port}\n")  # in one piece: workers share it
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that other workers may share the port of."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


if __name__ == "__main__":
    sys.exit(main())
