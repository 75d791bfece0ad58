# SPDX-License-Identifier: Apache-2.0
"""The language model over HTTP, by OpenAI's API: uvicorn and Starlette serve, openai_protocol.py reads and writes.

    POST /v1/completions           a text, or tokens as numbers; greedy; with `"stream": true` by server-sent events
    POST /v1/chat/completions      where the model's folder has a template of chats
    GET  /v1/models, /v1/models/NAME, /health

One text is generated at a time, others wait in order. A client that goes away ends its text.
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import serving
from continuation import Continuation
from model import Model, load
from openai_protocol import DONE, Answer, Interface, Refused, Wanted, as_event, error_body
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

TOKENIZER = Path(__file__).resolve().parent / "tokenizer"
MOST_WAITING = 64  # texts that wait for the one that is generated; beyond it the answer is 503
GENERATION_S = 600.0  # a text that takes longer is ended
ENDING_S = 6.0  # after SIGTERM, for the text that is generated: in the rest of serving.GRACE_S its client is told
BUSY = "overloaded"

json_answer: Callable[[int, Any], Response] = serving.json_answer

EndsSince = Callable[[], float | None]  # when SIGTERM came, by the monotonic clock


class Decoding:
    """One text as it grows: its tokens come from the thread that has the model, until it ends or is told to stop."""

    def __init__(self, wanted: Wanted, model: Model, texts: Any, ends_since_s: EndsSince) -> None:
        self.tokens: list[int] = []
        self.failure: Refused | None = None  # why it is not whole
        self.continuation = Continuation(texts, wanted.prompt, wanted.stops)
        self._wanted = wanted
        self._model = model
        self._ends_since_s = ends_since_s
        self._loop = asyncio.get_running_loop()
        self._coming: asyncio.Queue[int | None] = asyncio.Queue()
        self._stopped = threading.Event()
        self._until_s = time.monotonic() + GENERATION_S

    def run(self) -> None:
        """Generate, in the thread of the model."""
        try:
            for token in self._model.generate(self._wanted.prompt, self._wanted.most, self._goes_on):
                self._tell(token)
        except Exception as error:  # noqa: BLE001 - whatever the runtime raises, the client is told
            self.failure = Refused(500, f"the model failed: {type(error).__name__}: {str(error)[:500]}")
        finally:
            self._tell(None)

    def _tell(self, token: int | None) -> None:
        self._loop.call_soon_threadsafe(self._coming.put_nowait, token)

    def _goes_on(self) -> bool:
        now_s, ends_since_s = time.monotonic(), self._ends_since_s()
        if self._stopped.is_set():
            return False
        if now_s > self._until_s:
            self.failure = Refused(503, f"the text was not complete after {GENERATION_S:g} s: ask for fewer tokens")
        elif ends_since_s is not None and now_s > ends_since_s + ENDING_S:
            self.failure = Refused(503, "the server is ending: ask again", code=BUSY)
        return self.failure is None

    def stop(self) -> None:
        """Let it end before its next token."""
        self._stopped.set()

    async def pieces(self) -> AsyncIterator[tuple[str, list[int]]]:
        """Yield what is added to the text, with the tokens that it came of."""
        while not self.continuation.is_stopped and (token := await self._coming.get()) is not None:
            self.tokens.append(token)
            yield "" if token in self._model.ends else self.continuation.add(token), [token]
        if self.continuation.is_stopped:
            self.stop()
        elif rest := self.continuation.end():
            yield rest, []

    @property
    def finish_reason(self) -> str:
        """Say why it ended, in OpenAI's words."""
        ended = self.continuation.is_stopped or (self.tokens and self.tokens[-1] in self._model.ends)
        return "stop" if ended else "length"


class Events(Response):
    """A text as server-sent events."""

    media_type = "text/event-stream"

    def __init__(self, decoding: Decoding, answer: Answer) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._decoding = decoding
        self._answer = answer

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with _watched(self._decoding, receive):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for event in self._events():
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        if first := self._answer.first():
            yield first
        async for text, tokens in self._decoding.pieces():
            if text or (tokens and self._answer.wanted.with_tokens):
                yield self._answer.piece(text, tokens)
        if self._decoding.failure is not None:
            yield as_event(self._decoding.failure.body()) + DONE
        else:
            yield self._answer.last(len(self._decoding.tokens), self._decoding.finish_reason)


@asynccontextmanager
async def _watched(decoding: Decoding, receive: Receive) -> AsyncIterator[None]:
    """Stop the text at the end of the block, or as soon as its client goes away."""

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        decoding.stop()

    watching = asyncio.create_task(until_gone())
    try:
        yield
    finally:
        watching.cancel()
        decoding.stop()


class Service:
    """The model behind its bounds: one text at a time, the others wait in order."""

    def __init__(self, context: int | None, ends_since_s: EndsSince) -> None:
        self._generating = ThreadPoolExecutor(1)  # the thread that loads the model is the one that runs it
        self.model: Model = self._generating.submit(load).result()
        self._reader = serving.BodyReader(Refused)
        self._slots = asyncio.Semaphore(1)
        self._waiting = 0
        self._ends_since_s = ends_since_s
        self._texts = _texts()
        self.interface = Interface(
            model=self.model.deployment["model"],
            created=int(time.time()),
            context=min(context or self.model.context, self.model.context),
            vocabulary=self.model.vocabulary,
            texts=self._texts,
        )
        self._intake = serving.Intake(self.interface.most_bytes, Refused)

    def routes(self) -> list[Route]:
        """Return what is served."""
        return [
            Route("/health", serving.said({"status": "ready"})),
            Route("/v1/models", serving.said({"object": "list", "data": [self.interface.described()]})),
            Route("/v1/models/{model:path}", self.describe),
            Route("/v1/completions", partial(self.answer, read=self.interface.completion), methods=["POST"]),
            Route("/v1/chat/completions", partial(self.answer, read=self.interface.chat), methods=["POST"]),
        ]

    async def describe(self, request: Request) -> Response:
        self.interface.check_name(request.path_params["model"])
        return json_answer(200, self.interface.described())

    async def answer(self, request: Request, read: Callable[[bytearray], Wanted]) -> Response:
        try:
            async with self._intake.body(request, self.interface.most_bytes) as body:
                wanted = await self._reader.read(read, body)
            decoding = await self._begun(request, wanted)
        except ClientDisconnect:
            return Response()
        answer = Answer.to(wanted, self.interface.model, int(time.time()))
        if wanted.stream:
            return Events(decoding, answer)
        async with _watched(decoding, request.receive):
            async for _ in decoding.pieces():
                pass
        if decoding.failure is not None:
            raise decoding.failure
        return Response(answer.whole(decoding.continuation.text, decoding.tokens, decoding.finish_reason), media_type="application/json")

    async def _begun(self, request: Request, wanted: Wanted) -> Decoding:
        """Return the text as soon as it is generated. Raises Refused, and ClientDisconnect."""
        if self._waiting >= MOST_WAITING:
            raise Refused(503, f"{MOST_WAITING} requests are waiting: try again later", code=BUSY)
        self._waiting += 1
        try:
            await serving.wait_for(self._slots, Refused)
        finally:
            self._waiting -= 1
        try:
            if await request.is_disconnected():
                raise ClientDisconnect
            decoding = Decoding(wanted, self.model, self._texts, self._ends_since_s)
            running = asyncio.get_running_loop().run_in_executor(self._generating, decoding.run)
        except BaseException:
            self._slots.release()
            raise
        running.add_done_callback(lambda _: self._slots.release())  # once the thread is free, whoever waits for it no longer
        return decoding


def _texts() -> Any:
    """Return the model's tokenizer, None where it has none."""
    if not TOKENIZER.is_dir():
        return None
    from texts import Texts

    return Texts(TOKENIZER)


def main() -> int:
    """Serve until the process is ended."""
    options = serving.options(__doc__)
    options.add_argument(
        "--context", type=int, metavar="TOKENS", help="most tokens of a prompt and what follows it, if fewer than the model's own"
    )
    given = options.parse_args()
    serving.end_at_once()

    def application(ends_since_s: EndsSince) -> Any:
        return serving.application(Service(given.context, ends_since_s).routes(), Refused, error_body, of="the server")

    code: int = serving.serve(application, given.host, given.port)
    return code


if __name__ == "__main__":
    sys.exit(main())
