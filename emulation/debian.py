"""Debian packages of another architecture: downloaded from the machine's own mirror and unpacked, not installed; no root needed."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR_VARIABLE = "GRAVITON_MIRROR"


class SetupError(Exception):
    """The emulation cannot be set up or entered here; the message says why and what to do."""


class Apt:
    """apt with lists and packages in a folder of its own: what is configured and installed on this machine stays as it is."""

    def __init__(self, folder: Path, architecture: str) -> None:
        """Fetch the package lists. Raises SetupError."""
        self._folder = folder
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        source = f"deb [signed-by={_keyring()}] {mirror()} {SUITE} main\n"
        (folder / "sources.list").write_text(source)
        settings = {
            "Dir::State": folder,
            "Dir::State::Lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::Archives": folder / "archives",
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        self._run("update", "--error-on=any")

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Unpack `packages` and all they depend on below `root`. Raises SetupError."""
        for merged in ("bin", "lib", "sbin"):  # as base-files has them, whichever package comes first
            (root / "usr" / merged).mkdir(parents=True, exist_ok=True)
            (root / merged).symlink_to(f"usr/{merged}")
        self._run("install", "--yes", "--download-only", *packages)
        self._unpack_all(self._folder / "archives", root)

    def unpack_one(self, package: str, root: Path) -> None:
        """Unpack a single package, without what it depends on. Raises SetupError."""
        folder = self._folder / package
        folder.mkdir()
        self._run("download", package, folder=folder)
        self._unpack_all(folder, root)

    def _unpack_all(self, folder: Path, root: Path) -> None:
        for package in sorted(folder.glob("*.deb")):
            run(["dpkg", "-x", str(package), str(root)], f"unpacking {package.name}")

    def _run(self, *words: str, folder: Path | None = None) -> None:
        run(["apt-get", "-qq", *self._options, *words], f"apt-get {words[0]} of Debian {SUITE}", folder)


def run(command: Sequence[str], doing: str, folder: Path | None = None) -> str:
    """Run a command and return what it printed. Raises SetupError with the end of its output."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - commands of this package
    except FileNotFoundError as error:
        raise SetupError(f"{doing}: there is no command {command[0]!r} on this machine; a Debian machine has it") from error
    if done.returncode:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise SetupError(f"{doing} ended with status {done.returncode}:\n{output}")
    return done.stdout


def architecture() -> str:
    """Return this machine's architecture as Debian calls it: amd64."""
    return run(["dpkg", "--print-architecture"], "asking dpkg for the architecture").strip()


def mirror() -> str:
    """Return the Debian mirror that this machine is configured for. Raises SetupError where it is none of Debian's."""
    if os.environ.get(MIRROR_VARIABLE):
        return os.environ[MIRROR_VARIABLE]
    release = _os_release()
    if release.get("ID") == "debian":
        targets = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"], "reading apt's sources")
        for target in targets.splitlines():
            suite, component, address = target.split(maxsplit=2)
            if component == "main" and suite in {release.get("VERSION_CODENAME"), "stable", "testing", "unstable", "sid", SUITE}:
                return address
    raise SetupError(
        f"this machine ({release.get('PRETTY_NAME', 'unknown')}) has no source of Debian's main archive in /etc/apt; "
        f"name a Debian mirror in {MIRROR_VARIABLE}"
    )


def _keyring() -> Path:
    if not KEYRING.exists():
        raise SetupError(f"{KEYRING} is missing, by which Debian's packages are verified: apt-get install debian-archive-keyring")
    return KEYRING


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
