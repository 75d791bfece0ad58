"""Inside the new namespaces: mounts what a Linux system has below the root, lets the kernel run Arm programs, and goes in.

Started by emulation/guest.py as `python -m emulation.enter ROOT EMULATOR CHECKOUT COMMAND...`.
"""

import os
import subprocess
import sys
from pathlib import Path

from emulation.guest import FORMATS, SUITE

NAME = "ladder-aarch64"
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
OPENED_NOW = "F"  # the kernel keeps the emulator open, so that it is found inside the root too


def main(root: str, emulator: str, checkout: str, *command: str) -> None:
    """Replace this process by `command` inside `root`."""
    _mount("-t", "binfmt_misc", "binfmt_misc", FORMATS)
    _register(emulator)
    for folder in ("/proc", "/sys", "/dev"):
        _mount("--rbind", folder, root + folder)
    _mount("--bind", "/etc/hosts", f"{root}/etc/hosts")
    _mount("-t", "tmpfs", "tmpfs", f"{root}/tmp")  # noqa: S108 - the root's own
    _mount("--bind", checkout, root + SUITE)
    os.chroot(root)
    os.chdir(SUITE)
    os.execvp(command[0], command)  # noqa: S606 - what guest.run was given


def _register(emulator: str) -> None:
    registered = Path(FORMATS) / NAME
    if registered.exists():  # by a run as root on an older kernel, where all namespaces share the formats
        if f"interpreter {emulator}" in registered.read_text().splitlines():
            return
        registered.write_text("-1")
    (Path(FORMATS) / "register").write_text(f":{NAME}:M::{MAGIC}:{MASK}:{emulator}:{OPENED_NOW}")


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)  # noqa: S603, S607 - util-linux on the PATH that guest.run sets


if __name__ == "__main__":
    main(*sys.argv[1:])
