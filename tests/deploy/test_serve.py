"""The emitted server, with a model of two multiplications: real clients are answered, bad ones hold up nobody, and it ends in order."""

import asyncio
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from reports.deploy.emit import EMITTED
from reports.deploy.emitted import serving as serving_module
from reports.deploy.emitted.inference_protocol import Refused
from tests.processes import ran

MODEL = """
import os, threading, time
import numpy as np
class Session:
    requests = 1
class Model:
    session = Session()
    batch_size = 2
    deployment = {"model": "tiny", "runtime": "numpy"}
    def __init__(self):
        self.thread = threading.get_ident()
    def infer(self, inputs):
        assert threading.get_ident() == self.thread, "another thread than that which loaded the model"
        time.sleep(float(inputs[0, 0] == 7) + 0.005)
        if inputs[0, 0] == 13:
            raise RuntimeError("no kernel for this")
        return inputs * 2
def load():
    return Model()
def sample():
    return (np.zeros((2, 3), np.float32),), np.zeros((2, 3), np.float32)
"""
FILES = ("serve.py", "serving.py", "inference_protocol.py")
GOOD = np.arange(6, dtype=np.float32).reshape(2, 3)
INFER = "/v2/models/tiny/infer"
LENGTH_OF_JSON = "Inference-Header-Content-Length"


class Served:
    """A server that runs, and one request to it at a time, each by a connection of its own."""

    def __init__(self, process: "subprocess.Popen[str]", host: str, port: int) -> None:
        self.process, self.host, self.port = process, host, port
        self._connected: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """Open a connection, which is closed after the test at the latest."""
        self._connected.append(socket.create_connection((self.host, self.port), timeout=60))
        return self._connected[-1]

    def close(self) -> None:
        """Close what the test left open, however it ended."""
        for each in self._connected:
            each.close()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=60)) as connection:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def infer(self, body: bytes, path: str = INFER, **headers: str) -> tuple[int, Any]:
        status, _, content = self.ask("POST", path, body, **headers)
        return status, json.loads(content)

    def keep_busy(self) -> socket.socket:
        """Ask for an inference that takes a second, and return once the request has been taken."""
        body = as_json(np.full((1, 3), 7, np.float32))
        client = self.connect()
        client.sendall(head(len(body), "Expect: 100-continue"))
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        return client

    def is_well(self) -> bool:
        status, answer = self.infer(as_json(GOOD))
        return status == 200 and answer["outputs"][0]["data"] == (GOOD * 2).ravel().tolist()


S = TypeVar("S", bound=Served)
Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that starts the server, with limits that are set to other values."""
    put(tmp_path, MODEL, *FILES)
    yield from serving(tmp_path, Served)


def put(folder: Path, model: str, *files: str, workers: int = 1) -> None:
    """Put files of a deployment into a folder, and its model."""
    for name in files:
        shutil.copy(EMITTED / name, folder)
    (folder / "model.py").write_text(model)
    (folder / "deployment.json").write_text(json.dumps({"workers": workers}))


def serving(folder: Path, kind: type[S]) -> Iterator[Callable[..., S]]:
    """Yield a function that starts the server in `folder`, with limits of its modules that are set to other values."""
    started: list[subprocess.Popen[str]] = []
    served: list[S] = []

    def start(*arguments: str, **limits: float) -> S:
        lines = [f"(serve if hasattr(serve, {name!r}) else serving).{name} = {value}" for name, value in limits.items()]
        (folder / "limited.py").write_text("\n".join(["import serve, serving, sys", *lines, "sys.exit(serve.main())"]))
        command = [sys.executable, str(folder / "limited.py"), "--port", "0", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("serving on "), line + process.stderr.read()
        host, _, port = line.split()[-1].rpartition(":")
        served.append(kind(process, host, int(port)))
        return served[-1]

    yield start
    for each in served:
        each.close()
    for process in started:
        process.kill()
        process.communicate()


def as_json(array: np.ndarray, **more: Any) -> bytes:
    tensor = {"name": "input_0", "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
    return json.dumps({"inputs": [tensor]} | more).encode()


def as_bytes(array: np.ndarray) -> tuple[bytes, str]:
    """The request with the binary tensor extension, and how long its JSON is."""
    tensor = {"name": "input_0", "datatype": "FP32", "shape": list(array.shape), "parameters": {"binary_data_size": array.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + array.tobytes(), str(len(head))


def head(length: int, *lines: str) -> bytes:
    """The beginning of a request whose body follows."""
    return "\r\n".join([f"POST {INFER} HTTP/1.1", "Host: x", f"Content-Length: {length}", *lines, "", ""]).encode()


def ended(client: socket.socket) -> bytes:
    """All that a server says until it closes the connection."""
    found = b""
    try:
        while said := client.recv(65536):
            found += said
    except ConnectionResetError:
        pass
    return found


def test_the_protocol_is_spoken(serve: Serve) -> None:
    """Health, metadata with any batch, tensors in JSON; the caller's id comes back."""
    served = serve()

    assert [200, 200, 200] == [served.ask("GET", path)[0] for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready")]
    assert {"binary_tensor_data"} <= set(json.loads(served.ask("GET", "/v2")[2])["extensions"])
    status, described = served.infer(as_json(GOOD, id="mine"), "/v2/models/tiny/versions/1/infer")
    assert (200, "mine", "tiny") == (status, described["id"], described["model_name"])
    assert [2.0 * number for number in range(6)] == described["outputs"][0]["data"]
    assert {
        "name": "tiny",
        "versions": ["1"],
        "platform": "numpy",
        "inputs": [{"name": "input_0", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "output_0", "datatype": "FP32", "shape": [-1, 3]}],
    } == json.loads(served.ask("GET", "/v2/models/tiny")[2])


def test_tensors_travel_as_bytes(serve: Serve) -> None:
    served = serve()
    body, length = as_bytes(GOOD)

    status, headers, content = served.ask("POST", INFER, body, **{LENGTH_OF_JSON: length})

    size = int(headers[LENGTH_OF_JSON.lower()])
    assert (200, GOOD.nbytes) == (status, json.loads(content[:size])["outputs"][0]["parameters"]["binary_data_size"])
    assert np.array_equal(GOOD * 2, np.frombuffer(content[size:], np.float32).reshape(2, 3))


TRITON = """
import sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException
client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny") and client.is_model_ready("tiny", "1")
assert not client.is_model_ready("other")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
assert client.get_model_metadata("tiny")["inputs"][0]["shape"] == [-1, 3]
images = np.arange(6, dtype=np.float32).reshape(2, 3)
for there in (True, False):
    given = triton.InferInput("input_0", images.shape, "FP32")
    given.set_data_from_numpy(images, binary_data=there)
    for wanted in (None, *([triton.InferRequestedOutput("output_0", binary_data=binary)] for binary in (True, False))):
        answer = client.infer("tiny", [given], outputs=wanted, request_id="mine")
        assert np.array_equal(answer.as_numpy("output_0"), images * 2) and answer.get_response()["id"] == "mine"
one = triton.InferInput("input_0", [1, 3], "FP32")
one.set_data_from_numpy(images[:1])
assert client.infer("tiny", [one]).as_numpy("output_0").shape == (1, 3)
for wrong in ("FP64", "INT64"):
    given = triton.InferInput("input_0", images.shape, wrong)
    given.set_data_from_numpy(images.astype({"FP64": np.float64, "INT64": np.int64}[wrong]))
    try:
        client.infer("tiny", [given])
        sys.exit("taken")
    except InferenceServerException as error:
        assert error.status() == "400" and "input_0 is FP32; found" in error.message(), error
print("all answered")
"""


def test_tritons_client_is_answered(serve: Serve) -> None:
    """NVIDIA's own client, in a process of its own: tensors as JSON and as bytes, both ways, and its idea of an error."""
    pytest.importorskip("tritonclient", reason="tritonclient is not installed -> pip install 'tritonclient[http]'")
    served = serve()

    done = ran([sys.executable, "-c", TRITON, f"{served.host}:{served.port}"], limit_s=120)

    assert (0, "all answered\n") == (done.returncode, done.stdout), done.stderr


def test_curl_is_answered(serve: Serve, tmp_path: Path) -> None:
    if (curl := shutil.which("curl")) is None:
        pytest.skip("curl is not installed -> apt-get install curl")
    served = serve()
    (tmp_path / "request.json").write_bytes(as_json(GOOD))
    command = [curl, "-sS", "--data-binary", f"@{tmp_path}/request.json", f"http://{served.host}:{served.port}{INFER}"]

    done = subprocess.run(command, capture_output=True, timeout=60, check=True)

    assert (GOOD * 2).ravel().tolist() == json.loads(done.stdout)["outputs"][0]["data"]


def test_what_is_not_served_is_refused_in_the_protocols_words(serve: Serve) -> None:
    served = serve()
    found = [
        served.ask("GET", "/v2/models/other"),
        served.ask("POST", "/v2/models/other/infer", as_json(GOOD)),
        served.ask("GET", "/v2/models/tiny/versions/2"),
        served.ask("GET", "/infer"),
        served.ask("GET", INFER),
        served.ask("POST", INFER, as_json(GOOD), Content_Encoding="gzip"),
    ]

    assert [404, 404, 404, 404, 405, 415] == [status for status, _, _ in found]
    assert all(json.loads(body)["error"] for _, _, body in found)
    assert "POST" == found[4][1]["allow"]


def test_what_is_too_large_or_malformed_is_refused(serve: Serve) -> None:
    """By its announced size before a byte is read, and by its real size where none is announced."""
    served = serve()
    body, length = as_bytes(GOOD)

    for bad, headers in (
        (b"rubbish", {}),
        (body, {}),
        (body, {LENGTH_OF_JSON: "9999"}),
        (body, {LENGTH_OF_JSON: "-1"}),
        (body[:-4], {LENGTH_OF_JSON: length}),
    ):
        status, answer = served.infer(bad, **headers)
        assert (400, True) == (status, bool(answer["error"])), bad
    with closing(served.connect()) as client:
        client.sendall(head(10**12, "Expect: 100-continue"))
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    with closing(served.connect()) as client:
        client.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(40):
            client.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    with closing(served.connect()) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert ended(client).startswith(b"HTTP/1.1 400 ")
    with closing(served.connect()) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 66_000)
        assert ended(client).startswith(b"HTTP/1.1 400 ")
    assert served.is_well()


def test_a_model_that_fails_is_said(serve: Serve) -> None:
    """And the next request is answered."""
    served = serve()

    status, answer = served.infer(as_json(np.full((1, 3), 13, np.float32)))

    assert (500, "the model failed: RuntimeError: no kernel for this") == (status, answer["error"])
    assert served.is_well()


def test_idle_and_slow_connections_hold_up_nobody(serve: Serve) -> None:
    served = serve()
    held = [served.connect() for _ in range(20)]
    for each in held[::2]:
        each.sendall(head(100) + b"abc")

    assert served.is_well()


def test_idle_and_slow_connections_are_let_go(serve: Serve) -> None:
    """One that says nothing, one that has asked before, one whose head drips in, one whose body does."""
    served = serve(IDLE_S=1.0, BODY_S=1.0)
    _, before, slow_head, slow_body = clients = [served.connect() for _ in range(4)]
    before.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
    slow_body.sendall(head(100) + b"abc")
    slow_head.sendall(b"GET /v2 HTTP/1.1\r\n")
    dripping = threading.Thread(target=drip, args=(slow_head,))
    dripping.start()

    answers = [ended(client) for client in clients]
    dripping.join()

    assert [b"", b"HTTP/1.1 200", b"", b"HTTP/1.1 408"] == [answer[:12] for answer in answers]


def drip(client: socket.socket) -> None:
    """Send a header that never ends, until nobody listens."""
    try:
        while True:
            client.sendall(b"X: y\r\n")
            time.sleep(0.2)
    except OSError:
        return


def test_connections_beyond_the_limit_are_closed(serve: Serve) -> None:
    served = serve(MOST_CONNECTIONS=3)
    idle = [served.connect() for _ in range(3)]
    with closing(served.connect()) as fourth:
        assert b"" == ended(fourth)
    for each in idle:
        each.close()

    while True:  # until the server has noticed
        try:
            assert served.is_well()
            break
        except (ConnectionError, http.client.HTTPException):
            continue


def test_bodies_beyond_the_limit_are_refused(serve: Serve) -> None:
    """What waits is bounded in bytes: the server would rather refuse than be killed for its memory."""
    served = serve(MOST_HELD_BYTES=0)  # so that four of the longest requests are the limit
    clients = [served.connect() for _ in range(6)]
    for client in clients:
        client.sendall(head(65_500) + b" " * 65_000)

    refused: set[socket.socket] = set()
    while len(refused) < 2:
        readable, _, _ = select.select([client for client in clients if client not in refused], [], [], 60)
        assert readable, "no answer within a minute"
        refused |= set(readable)

    assert [b"HTTP/1.1 503"] * 2 == [client.recv(12) for client in refused]
    assert served.is_well()


def test_a_request_that_waits_too_long_is_told(serve: Serve) -> None:
    served = serve(WAIT_S=0.2)
    first = served.keep_busy()
    answers = [served.infer(as_json(GOOD))[0] for _ in range(2)]
    assert first.recv(1000).startswith(b"HTTP/1.1 200 ")

    assert 503 in answers
    assert served.is_well()


def test_a_request_that_waits_too_long_to_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread reads: a few prompts as long as a context would hold up all others without a word."""
    monkeypatch.setattr(serving_module, "WAIT_S", 0.05)

    async def read() -> tuple[bool, object]:
        reader, end = serving_module.BodyReader(Refused), threading.Event()
        first = asyncio.create_task(reader.read(end.wait, 10.0))
        await asyncio.sleep(0.01)
        with pytest.raises(Refused, match=r"busy for 0\.05 s: try again later"):
            await reader.read(lambda: None)
        first.cancel()  # its client goes; the thread still reads it
        await asyncio.sleep(0.01)
        with pytest.raises(Refused, match="try again later"):
            await reader.read(lambda: None)
        end.set()
        return await reader.read(first.cancelled), await reader.read(time.sleep, 0.1)

    assert (True, None) == asyncio.run(read())  # one that itself takes longer than others wait is read to its end


def test_it_ends_in_order(serve: Serve) -> None:
    """SIGTERM: a request that is worked on is answered; an idle connection does not keep the process."""
    served = serve()
    served.connect()
    client = served.keep_busy()
    served.process.send_signal(signal.SIGTERM)
    answer = ended(client)

    assert 0 == served.process.wait(timeout=60)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_second_deployment_has_no_share_of_the_port(serve: Serve, tmp_path: Path) -> None:
    """It would take half of the connections, whatever model it has."""
    served = serve()
    command = [sys.executable, str(tmp_path / "serve.py"), "--port", str(served.port)]

    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert 1 == second.returncode
    assert second.stderr.startswith(f"127.0.0.1:{served.port} cannot be listened on (Address already in use): end what listens there")
    assert served.is_well()


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int, list[int]]]:
    """Two workers on one port, started as run.sh does; the port is kept from others by a socket that does not listen."""
    in_one_piece = """os.write(2, f"{os.environ['WORKER']} {os.getpid()}\\n".encode())"""  # two share the pipe
    put(tmp_path, MODEL + in_one_piece, *FILES, "workers.py", workers=2)
    with closing(socket.socket()) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        command = [sys.executable, str(tmp_path / "workers.py"), "--port", str(port)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                said = [process.stderr.readline().split() for _ in range(4)]
                pids = {words[0]: int(words[1]) for words in said if words[0] in {"0", "1"}}
                yield process, port, [pids["0"], pids["1"]]
            finally:
                process.terminate()


def test_workers_share_a_port_and_end_together(crew: tuple["subprocess.Popen[str]", int, list[int]]) -> None:
    """SIGTERM to the one that started them: what is worked on is answered, and none is left."""
    process, port, pids = crew
    served = Served(process, "127.0.0.1", port)
    assert all(served.is_well() for _ in range(10))
    with closing(served.keep_busy()) as client:
        process.terminate()
        answer = ended(client)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 0 == process.wait(timeout=60)
    assert [] == [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_worker_that_dies_ends_the_others(crew: tuple["subprocess.Popen[str]", int, list[int]]) -> None:
    """Whoever runs them starts all anew; nobody serves with half of them."""
    process, _, pids = crew
    os.kill(pids[1], signal.SIGKILL)

    assert 1 == process.wait(timeout=60)
    assert process.stderr is not None
    assert "worker 1 ended with status -9" in process.stderr.read()
    assert not Path(f"/proc/{pids[0]}").exists()
