"""Commands inside the root: in namespaces of their own, so that no mount, process or binary format outlives them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulation import root as roots
from emulation.debian import SetupError

SUITE = "/suite"
PASSED_ON = ("ONEDNN_", "DNNL_", "ATEN_", "TORCH", "COLUMNS", "PYTEST_ADDOPTS")
NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")  # however this process ends; of util-linux, like unshare
CHECKOUT = Path(__file__).resolve().parent.parent
FORMATS = "/proc/sys/fs/binfmt_misc"
TRANSLATED_MIB = "512"  # torch alone fills QEMU's 128, which then translates all of it again


def run(command: Sequence[str], cpu: str) -> int:
    """Run `command` on the emulated CPU, in the checkout mounted on /suite, and return its status. Raises SetupError."""
    root = roots.cached_root()
    enter = [sys.executable, "-m", "emulation.enter", str(root), str(roots.emulator(root)), str(CHECKOUT), *command]
    environment = _environment(cpu, os.environ)
    command = [*ENDS_WITH_US, *_unshare(), *enter]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode  # noqa: S603 - this package


def _unshare() -> list[str]:
    """Return the command that opens the namespaces: as this user where the kernel lets it, else as root."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise SetupError("there is no command unshare on this machine: apt-get install util-linux")
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive", "--preserve-env"]
    ways = {"as root": [*sudo, unshare, *NAMESPACES]}
    if CHECKOUT.stat().st_uid == os.geteuid():  # files of others cannot be written in a user namespace, not even by root
        ways = {"as this user": [unshare, "--user", "--map-root-user", *NAMESPACES]} | ways
    reasons = []
    for name, way in ways.items():
        # In a user namespace this needs Linux 6.7, which gives each its own binary formats.
        reason = _try([*way, "mount", "-t", "binfmt_misc", "binfmt_misc", FORMATS])
        if reason is None:
            return way
        reasons.append(f"{name}: {reason}")
    raise SetupError(
        f"Arm programs cannot be emulated here: binfmt_misc cannot be mounted ({'; '.join(reasons)}). "
        "Run on Linux 6.7 or later with user namespaces, or as root; a container needs CAP_SYS_ADMIN"
    )


def _try(command: Sequence[str]) -> str | None:
    """Return None where the command works, else what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - unshare and mount
    except FileNotFoundError as error:
        return f"no command {error.filename}"
    return None if done.returncode == 0 else " ".join(done.stderr.split()) or f"status {done.returncode}"


def _environment(cpu: str, inherited: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in inherited.items() if name.startswith(PASSED_ON)}
    return kept | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",  # noqa: S108 - a file system of the guest's own
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "OMP_WAIT_POLICY": "passive",  # emulated threads that spin take the CPUs from those that work
        "QEMU_CPU": cpu,
        "QEMU_TB_SIZE": TRANSLATED_MIB,
    }
