"""Two hosts on one machine: network namespaces joined by a virtual cable, each with a host name of its own."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

REMEDY = "run the tests as root on a machine with iproute2 and util-linux (apt-get install iproute2), in a container with CAP_SYS_ADMIN"
FIRST = "host-a"


@dataclass(frozen=True, kw_only=True)
class NetworkHost:
    """One namespace; `interface` is its end of the cable, `names` the file that it resolves host names by."""

    name: str
    namespace: str
    interface: str
    address: str
    names: Path

    def start(self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Start a command on this host; all it says goes to its stdout."""
        become = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"'
        named = ["unshare", "--uts", "--mount", "sh", "-c", become, self.name, str(self.names), *command]
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *named],
            cwd=folder,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def unplug(self) -> None:
        """Cut the cable: nothing arrives any more, and nobody is told."""
        _run("ip", "-n", self.namespace, "link", "set", self.interface, "down")


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[NetworkHost, NetworkHost]]:
    """Make the two hosts, and remove them at the end. Skips where that is not possible."""
    missing = [name for name in ("ip", "unshare") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"two hosts need root and {', '.join(missing) or 'nothing else'} -> {REMEDY}")
    mark, names = uuid.uuid4().hex[:6], folder / "hosts"
    names.write_text("127.0.0.1 localhost\n10.77.0.1 host-a\n10.77.0.2 host-b\n")
    hosts = [
        NetworkHost(
            name=f"host-{letter}",
            namespace=f"ladder-{mark}-{letter}",
            interface=f"l{mark}{letter}",
            address=f"10.77.0.{number}",
            names=names,
        )
        for number, letter in enumerate("ab", 1)
    ]
    with ExitStack() as stack:
        try:
            for host in hosts:
                _run("ip", "netns", "add", host.namespace)
                stack.callback(_run, "ip", "netns", "delete", host.namespace)
                _run("ip", "-n", host.namespace, "link", "set", "lo", "up")
            _run("ip", "link", "add", hosts[0].interface, "type", "veth", "peer", "name", hosts[1].interface)
            for host in hosts:
                _run("ip", "link", "set", host.interface, "netns", host.namespace)
                _run("ip", "-n", host.namespace, "address", "add", f"{host.address}/24", "dev", host.interface)
                _run("ip", "-n", host.namespace, "link", "set", host.interface, "up")
            _run("unshare", "--uts", "--mount", "true")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()} -> {REMEDY}")
        yield hosts[0], hosts[1]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
