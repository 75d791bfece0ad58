"""Messages over a socket: what arrives whole, and what is refused."""

import socket
from collections.abc import Iterator

import pytest

from fixtures import protocol
from fixtures.protocol import Channel, FromWorker, Hello, Job, ModelSpec, Observations, ProtocolError, Proved, Start, Timed, ToWorker, Turn
from fixtures.protocol.kernels import Kernel

JOB = Job(model=ModelSpec(name="timm:vit"), runtime="openvino", precision="int8", settings={"hint": "f32"}, batch_size=8, threads=2)
PROVED = Proved(
    observations=Observations(
        kernels=[Kernel(operation="matmul", implementation="jit", precision="bf16", time_s=0.1)], cpus=[0, 1], eval_mode=True
    ),
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """The suite's channel, and the raw socket of a worker."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours, FromWorker), theirs


def test_messages_arrive_as_they_were_sent() -> None:
    """Both directions, nested values included."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        suite, worker = Channel(ours, FromWorker), Channel(theirs, ToWorker)
        start = Start(job=JOB, artifact=None, started_s=1.0)
        suite.send(start)
        worker.send(PROVED)

        assert start == worker.receive()
        assert suite.receive() == PROVED


def test_messages_are_lines_of_json(ends: tuple[Channel, socket.socket]) -> None:
    """A person can read the traffic, and any language could speak it."""
    channel, theirs = ends
    channel.send(Turn(iterations=3, untimed=1))

    assert theirs.recv(1000) == b'{"message":"turn","iterations":3,"untimed":1,"until_s":null}\n'


def test_several_messages_in_one_read_are_kept_apart(ends: tuple[Channel, socket.socket]) -> None:
    """None is lost, and order is kept."""
    channel, theirs = ends
    theirs.sendall(b'{"message":"hello","version":1,"pid":1}\n{"message":"hello","version":1,"pid":2}\n')

    assert [Hello(version=1, pid=1), Hello(version=1, pid=2)] == [channel.receive(), channel.receive()]


def test_partial_line_is_no_message_yet(ends: tuple[Channel, socket.socket]) -> None:
    """What has arrived waits for the rest."""
    channel, theirs = ends
    theirs.sendall(b'{"message":"hello","ver')
    assert channel.receive_available() is None
    theirs.sendall(b'sion":1,"pid":7}\n{"mess')

    assert channel.receive_available() == Hello(version=1, pid=7)
    theirs.sendall(b'age":"hello","version":1,"pid":8}\n')
    assert channel.receive_available() == Hello(version=1, pid=8)


def test_closed_socket_ends_the_conversation(ends: tuple[Channel, socket.socket]) -> None:
    """`receive` says so with None, `receive_available` with ConnectionError; half a line is never a message."""
    channel, theirs = ends
    theirs.sendall(b'{"message":"hello"')
    theirs.close()

    assert channel.receive() is None
    with pytest.raises(ConnectionError):
        channel.receive_available()


def test_sending_to_a_closed_socket_is_an_os_error(ends: tuple[Channel, socket.socket]) -> None:
    """The caller decides what a gone worker means."""
    channel, theirs = ends
    theirs.close()

    with pytest.raises(OSError, match="Broken pipe"):
        channel.send(Turn(iterations=1, untimed=0))


@pytest.mark.parametrize(
    "line",
    [
        b"Segmentation fault",
        b"",
        b"{}",
        b"[1, 2]",
        b"\xff\xfe\x00",
        b'{"message":"turn","iterations":1,"untimed":0}',
        b'{"message":"goodbye"}',
        b'{"message":"hello","version":"one","pid":1}',
        b'{"message":"hello","version":1}',
        b'{"message":"timed","latencies_s":[0.1,"slow"],"begin_s":0,"end_s":1,"peak_rss_bytes":1}',
    ],
)
def test_rubbish_is_refused_and_shown(ends: tuple[Channel, socket.socket], line: bytes) -> None:
    """What is no message of a worker raises, with the beginning of the line."""
    channel, theirs = ends
    theirs.sendall(line + b"\n")

    with pytest.raises(ProtocolError, match=f"not a message of protocol {protocol.PROTOCOL_VERSION}") as raised:
        channel.receive()
    assert repr(line[:80]) in str(raised.value)


def test_line_without_end_is_refused(ends: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker cannot fill the suite's memory."""
    monkeypatch.setattr(protocol, "LONGEST_LINE_BYTES", 1000)
    channel, theirs = ends
    theirs.sendall(b"x" * 2000)

    with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
        channel.receive()


def test_large_message_arrives(ends: tuple[Channel, socket.socket]) -> None:
    """Longer than one read of the socket."""
    channel, theirs = ends
    worker = Channel(theirs, ToWorker)
    timed = Timed(latencies_s=[0.125] * 20_000, begin_s=0.0, end_s=1.0, iterations=20_000, peak_rss_bytes=1)
    worker.send(timed)

    assert timed == channel.receive()
