# SPDX-License-Identifier: Apache-2.0
"""What serves, whatever the protocol: uvicorn with connections that end, bodies that are bounded, and an end in order.

Every worker is a process of its own; several listen on the same port, and the kernel deals connections out to them. A worker listens as
soon as its model is warm, so nobody is sent to one that is not ready.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import uvicorn
from msgspec.json import decode, encode
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

DEPLOYMENT = Path(__file__).resolve().parent / "deployment.json"
MOST_CONNECTIONS = 512  # what comes beyond is closed
MOST_HELD_BYTES = 256 * 2**20  # of bodies that wait or are worked on, or four times the longest; beyond it the answer is 503
IDLE_S = 75.0  # a connection that begins no request for so long is closed: longer than load balancers keep theirs
BODY_S = 30.0  # a body that takes longer is answered with 408
READ_S = 30.0  # a client that reads nothing of its answer for so long is let go
WAIT_S = 30.0  # a request that cannot be worked on for so long is answered with 503
GRACE_S = 8.0  # for what is being worked on at SIGTERM: docker stop kills after ten seconds
BACKLOG = 512
TOO_SLOW = 408

T = TypeVar("T")
Refuse = Callable[[int, str], Exception]  # a protocol's own refusal, of a status of HTTP's and a reason


class Connection(H11Protocol):
    """uvicorn's connection, which ends where too many are open, and where no request has begun for IDLE_S, however slowly bytes drip in.

    It also ends where nobody reads an answer for READ_S.
    """

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

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

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()
        if self._unread is not None:
            self._unread.cancel()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(IDLE_S, self.transport.abort)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Intake:
    """Bodies, as many bytes together as are allowed, of which `longest` is one; refused in the words of a protocol."""

    def __init__(self, longest_bytes: int, refuse: Refuse) -> None:
        self._most_held_bytes = max(MOST_HELD_BYTES, 4 * longest_bytes)
        self._held_bytes = 0
        self._refuse = refuse

    @asynccontextmanager
    async def body(self, request: Request, most_bytes: int) -> AsyncIterator[bytearray]:
        """Hold the request's body of at most `most_bytes`. Raises what refuses, and ClientDisconnect."""
        body = bytearray()
        try:
            await self._receive(request, body, most_bytes)
            yield body
        finally:
            self._held_bytes -= len(body)

    async def _receive(self, request: Request, body: bytearray, most_bytes: int) -> None:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise self._refuse(415, "compressed bodies are not taken")
        too_large = self._refuse(413, f"at most {most_bytes} bytes are taken")
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
                        raise self._refuse(503, "too many requests are being worked on: try again later")
        except TimeoutError as error:
            raise self._refuse(TOO_SLOW, f"the body did not arrive within {BODY_S:g} s") from error


async def wait_for(turns: asyncio.Semaphore, refuse: Refuse) -> None:
    """Wait for a turn, which others have before. Raises what refuses."""
    try:
        async with asyncio.timeout(WAIT_S):
            await turns.acquire()
    except TimeoutError as error:
        raise refuse(503, f"the model was busy for {WAIT_S:g} s: try again later") from error


class BodyReader:
    """The thread that reads bodies, one at a time, while the model goes on with others."""

    def __init__(self, refuse: Refuse) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._turns = asyncio.Semaphore(1)
        self._refuse = refuse

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what the function reads, however long that takes once it is its turn. Raises what it does, and what refuses to wait."""
        await wait_for(self._turns, self._refuse)
        loop = asyncio.get_running_loop()

        def end(_: object) -> None:
            """Let the next one begin, also where the client has gone meanwhile."""
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(self._turns.release)

        reading = self._thread.submit(function, *arguments)
        reading.add_done_callback(end)
        return await asyncio.wrap_future(reading)


class Server(uvicorn.Server):
    """uvicorn's server, which knows since when it ends."""

    ends_since_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.ends_since_s = self.ends_since_s or time.monotonic()
        super().handle_exit(sig, frame)


def json_answer(status: int, words: Mapping[str, Any]) -> Response:
    """Return an answer of JSON."""
    return Response(encode(words), status, media_type="application/json")


def said(words: Mapping[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint whose answer is always the same."""

    async def say(_request: Request) -> Response:
        return json_answer(200, words)

    return say


def application(routes: Sequence[Route], refused: type[Exception], words: Callable[[int, str], Mapping[str, Any]], *, of: str) -> Starlette:
    """Return what uvicorn serves.

    A refusal of the protocol's has a `status` and a `body`. Any other error is told in its `words`, by status and reason: `of` has failed.
    """

    async def refuse(_request: Request, error: Any) -> Response:
        answer = json_answer(error.status, error.body())
        if error.status == TOO_SLOW:
            answer.headers["connection"] = "close"
        return answer

    async def tell_unknown(request: Request, error: Any) -> Response:
        answer = json_answer(error.status_code, words(error.status_code, f"{error.detail}: {request.method} {request.url.path[:200]}"))
        answer.headers.update(error.headers or {})  # the methods that are allowed
        return answer

    async def tell_failed(_request: Request, error: Exception) -> Response:
        return json_answer(500, words(500, f"{of} failed: {type(error).__name__}: {str(error)[:500]}"))

    return Starlette(routes=routes, exception_handlers={refused: refuse, HTTPException: tell_unknown, Exception: tell_failed})


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every protocol has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    return parser


def end_at_once() -> None:
    """Let SIGTERM end the process while the model is loaded, and once uvicorn, which raises it again, has ended what was under way.

    Without waiting for threads: a model that is being loaded loads on.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def serve(make: Callable[[Callable[[], float | None]], Starlette], host: str, port: int) -> int:
    """Serve until the process is ended; SIGTERM lets it answer what it works on. Return 1 where it cannot listen.

    `make` builds the application; it is given what tells since when the server ends, in seconds of the monotonic clock.
    """
    config = uvicorn.Config(
        make(lambda: server.ends_since_s),
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
    server = Server(config)
    try:
        listener = _listening(host, port)
    except OSError as error:
        sys.stderr.write(
            f"{host}:{port} cannot be listened on ({error.strerror}): end what listens there, or name another port by --port\n"
        )
        return 1
    with listener:
        host, port = listener.getsockname()[:2]
        sys.stderr.write(f"serving on {host}:{port}\n")  # in one piece: workers share it
        server.run(sockets=[listener])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Its port is shared where there are several workers: any program of this user could then share it."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if decode(DEPLOYMENT.read_bytes())["workers"] > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener
