# SPDX-License-Identifier: Apache-2.0
"""The model over HTTP, by the Open Inference Protocol (KServe v2): uvicorn and Starlette serve, inference_protocol.py reads and writes.

    GET  /v2/health/live, /v2/health/ready, /v2, /v2/models/NAME, /v2/models/NAME/ready
    POST /v2/models/NAME/infer      tensors as JSON or as bytes

As many inferences run at a time as the runtime has streams for, others wait in order.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import serving
from inference_protocol import VERSION, Interface, Refused, Tensor
from model import Model, load, sample
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

LENGTH_OF_JSON = "inference-header-content-length"

json_answer: Callable[[int, Any], Response] = serving.json_answer


class Service:
    """The model behind its bounds."""

    def __init__(self) -> None:
        # The thread that loads the model is the one that runs it: what PyTorch keeps for each thread (autocast's weights) is there.
        first = ThreadPoolExecutor(1)
        self.model: Model = first.submit(load).result()
        requests = self.model.session.requests
        self._inferring = first if requests == 1 else ThreadPoolExecutor(requests)
        self._reader = serving.BodyReader(Refused)
        self._slots = asyncio.Semaphore(requests)
        inputs, expected = sample()
        self.interface = Interface(
            model=self.model.deployment["model"],
            platform=self.model.deployment["runtime"],
            batch_size=self.model.batch_size,
            inputs=tuple(Tensor.like(f"input_{number}", each) for number, each in enumerate(inputs)),
            output=Tensor.like("output_0", expected),
        )
        self._intake = serving.Intake(self.interface.most_json_bytes, Refused)

    def routes(self) -> list[Route]:
        """Return what is served."""
        routes = [Route(f"/v2/health/{word}", serving.said({word: True})) for word in ("live", "ready")]
        routes.append(Route("/v2", serving.said({"name": "cpu-inference-ladder", "version": "2", "extensions": ["binary_tensor_data"]})))
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes.append(Route(path, self.describe))
            routes.append(Route(f"{path}/ready", self.ready))
            routes.append(Route(f"{path}/infer", self.infer, methods=["POST"]))
        return routes

    async def describe(self, request: Request) -> Response:
        self._check_name(request)
        return json_answer(200, self.interface.metadata())

    async def ready(self, request: Request) -> Response:
        self._check_name(request)
        return json_answer(200, {"name": self.interface.model, "ready": True})

    async def infer(self, request: Request) -> Response:
        self._check_name(request)
        json_bytes = _length_of_json(request)
        most_bytes = self.interface.most_json_bytes if json_bytes is None else self.interface.most_binary_bytes
        try:
            async with self._intake.body(request, most_bytes) as body:
                asked = await self._reader.read(self.interface.read, body, json_bytes)
                async with self._slot():
                    if await request.is_disconnected():
                        return Response()  # nobody is there to read it
                    outputs = await asyncio.get_running_loop().run_in_executor(self._inferring, self.model.infer, *asked.inputs)
            content, head_bytes = self.interface.answer(asked, outputs)
        except ClientDisconnect:
            return Response()
        if head_bytes is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={LENGTH_OF_JSON: str(head_bytes)})

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for one of the runtime's streams. Raises Refused."""
        await serving.wait_for(self._slots, Refused)
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
    text = request.headers.get(LENGTH_OF_JSON)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Refused(400, "Inference-Header-Content-Length is not a number")
    return int(text)


def main() -> int:
    """Serve until the process is ended."""
    given = serving.options(__doc__).parse_args()
    serving.end_at_once()
    service = Service()
    served = serving.application(service.routes(), Refused, lambda _status, why: {"error": why}, of="the model")
    code: int = serving.serve(lambda _ends_since_s: served, given.host, given.port)
    return code


if __name__ == "__main__":
    sys.exit(main())
