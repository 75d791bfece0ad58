"""Files written whole or not at all."""

import errno
import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from reports.text.refusal import Refusal

NO_CURRENT_FOLDER = "the current folder does not exist any more: change into one that does"
STATUS = Path("/proc/self/status")  # Linux has it


def write_atomically(path: Path, content: bytes, *, replaces: bool = True) -> None:
    """Write to a temporary file beside `path`, then rename it. Raises OSError; `path` then is as it was.

    A link stays one: what it points at is written. What is no regular file (a device, a pipe) is opened and written plainly. Where it
    `replaces` nothing, FileExistsError is raised for a name that another process took, however shortly before.
    """
    if not replaces and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is such a file", str(path))
    try:
        path = path.resolve()
    except RuntimeError as error:  # a circle of links; from Python 3.13 on opening it says so
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    if path.exists() and not path.is_file():
        with path.open("wb", buffering=0) as opened:
            rest = memoryview(content)
            while rest:
                rest = rest[opened.write(rest) :]
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    except OSError as error:
        error.filename = str(path)  # what was to be written, and not by which name
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())
        if replaces or not _linked(temporary, path):
            Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _linked(temporary: str, path: Path) -> bool:
    """Give a file its name unless that is taken; return whether this file system has links. Raises FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    Path(temporary).unlink()
    return True


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError with the file's name, which reading does not tell as opening does."""
    with path.open("rb") as opened:
        try:
            return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            error.filename = str(path)
            raise


def no_file_text(option: str, path: Path) -> str:
    """Return the refusal of a file that is not there."""
    return f"{option} {str(path)!r}: there is no file {str(path.absolute())!r}; name one that exists"


def has_current_folder() -> bool:
    """Whether the folder that this process stands in has not been deleted."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return False
    return True


class NoFolder(Refusal):
    """The folder that a file is to be written into does not exist."""


def check_folder(option: str, file: Path | None) -> None:
    """Raise NoFolder unless the folder of the file is there that an option names, if it names one."""
    if file is not None and not file.absolute().parent.is_dir():
        raise NoFolder(f"{option} {str(file)!r}: there is no folder {str(file.absolute().parent)!r}; make it first")


def _mode(path: Path) -> int:
    """Return the mode of the file that is replaced, or that of a new one."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~_umask()


def _umask() -> int:
    """Read the umask without setting it where the system tells it: other threads make files meanwhile."""
    with suppress(OSError):
        if found := re.search(r"^Umask:\s*([0-7]+)", STATUS.read_text(), re.MULTILINE):
            return int(found[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _sync(folder: Path) -> None:
    """Let the renaming survive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
