"""Where words go, also once they can go nowhere: a reader that left, a lost terminal or a full disk ends no measurement."""

import errno
import io
import os
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast


class Unfailing(io.TextIOBase):
    """The text of a stream. Once that cannot be written nobody is told anything more, and whoever writes goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override] # the base class's can be set
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str, /) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._let_go(error)

    def close(self) -> None:
        """Leave the stream to whoever made it."""

    def _let_go(self, error: OSError) -> None:
        """Point all descriptors of the file at /dev/null, and say so where others still listen."""
        with suppress(OSError):
            lost = os.fstat(self._stream.fileno())
            _to_nowhere(lambda descriptor: os.path.samestat(os.fstat(descriptor), lost))
            self._stream.flush()  # what it holds back
            os.write(2, f"note: the output cannot be written any more ({error.strerror}): the run goes on without it\n".encode())


class _Copied(Unfailing):
    """The text of a stream of its own."""

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()


def uncaptured(stream: TextIO) -> TextIO:
    """Return a stream to where `stream` goes now, before pytest captures what tests print; whoever asks closes it."""
    try:
        return cast(TextIO, _Copied(os.fdopen(os.dup(stream.fileno()), "w", buffering=1, errors="replace")))
    except (OSError, ValueError):  # no file behind it: pytest runs inside another program
        return cast(TextIO, Unfailing(stream))


def let_go_of_lost_terminals() -> None:
    """Point descriptors of a terminal that is gone, or of a pipe that nobody reads, at /dev/null: writing to them would raise OSError."""
    _to_nowhere(_is_lost)


def _to_nowhere(is_meant: Callable[[int], bool]) -> None:
    """Point those of this process's descriptors at /dev/null that are meant, the copies included that pytest puts back in their places."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(entry.name)
        with suppress(OSError):  # closed meanwhile
            if is_meant(descriptor):
                null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
                os.dup2(null, descriptor, inheritable=os.get_inheritable(descriptor))
                os.close(null)


def _is_lost(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode):
        try:
            os.write(descriptor, b"")
        except OSError as error:
            return error.errno == errno.EIO
        return False
    if not stat.S_ISFIFO(mode):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(found & select.POLLERR for _descriptor, found in poll.poll(0))
