"""The emitted server, with a model of two multiplications: bad clients hold up nobody, and it ends in order."""

import io
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from reports.deploy import contents
from reports.deploy.emit import EMITTED

MODEL = """
import time
import numpy as np
class Session:
    requests = 1
class Model:
    session = Session()
    def infer(self, inputs):
        if inputs.shape != (2, 3):
            raise ValueError("expected 2 x 3")
        time.sleep(float(inputs[0, 0] == 7))
        return inputs * 2
def load():
    return Model()
def sample():
    return (np.zeros((2, 3), np.float32),), None
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str, int]]:
    shutil.copy(EMITTED / "serve.py", tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    command = [sys.executable, str(tmp_path / "serve.py"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        host, _, port = process.stderr.readline().split()[-1].rpartition(":")
        yield process, host, int(port)
        process.kill()


def npy(array: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.save(body, array)
    return body.getvalue()


def post(host: str, port: int, body: bytes) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/infer", body, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


GOOD = np.ones((2, 3), np.float32)


def test_idle_and_slow_connections_hold_up_nobody(server: tuple["subprocess.Popen[str]", str, int]) -> None:
    _, host, port = server
    held = [socket.create_connection((host, port)) for _ in range(20)]
    for each in held[::2]:
        each.sendall(b"POST /infer HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")

    status, body = post(host, port, npy(GOOD))

    assert (200, True) == (status, np.array_equal(np.load(io.BytesIO(body)), GOOD * 2))
    for each in held:
        each.close()


def test_what_is_too_large_or_malformed_is_refused(server: tuple["subprocess.Popen[str]", str, int]) -> None:
    _, host, port = server
    huge = npy(GOOD).replace(b"(2, 3)", b"(2, 3000000000000)", 1)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("a.npy", npy(np.zeros(1_000_000)))

    for bad, expected in (
        (b"rubbish", 400),
        (huge, 400),
        (bomb.getvalue(), 400),
        (npy(GOOD[:1]), 400),
        (npy(np.array([{}])), 400),
        (b"", 400),
    ):
        assert expected == post(host, port, bad)[0]
    with closing(socket.create_connection((host, port))) as client:
        client.sendall(b"POST /infer HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert 200 == post(host, port, npy(GOOD))[0]


def test_it_ends_in_order(server: tuple["subprocess.Popen[str]", str, int]) -> None:
    """SIGTERM: a request that is worked on is answered; an idle connection does not keep the process."""
    process, host, port = server
    body = npy(np.full((2, 3), 7, np.float32))
    with closing(socket.create_connection((host, port))), closing(socket.create_connection((host, port))) as client:
        client.sendall(f"POST /infer HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        process.send_signal(signal.SIGTERM)
        answer = client.recv(65536)
        assert 0 == process.wait(timeout=60)

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_the_container_has_no_rights_and_tells_its_health() -> None:
    text = contents.dockerfile({"huge_pages": None, "versions": {"openvino": "1"}}, "m", (), "3.12")

    for part in ("USER 10001", "HEALTHCHECK", "/health"):
        assert part in text
    assert ".venv" in contents.DOCKERIGNORE
