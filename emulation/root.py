"""The arm64 root: a Debian without its maintainer scripts, the aarch64 wheels, and the emulator; made once and kept by its recipe."""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulation import debian

CACHE_VARIABLE = "GRAVITON_CACHE"
HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
PACKAGES = (
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "g++",  # 14, whose SVE code generation takes what Inductor writes; Debian 12's crashes
    "libgoogle-perftools4t64",
    "openssl",
    "python3",
    "python3-dev",
)
EMULATOR = "qemu-user"  # version 10 or later: 7.2 crashes ONNX Runtime
EMULATED_COMPILER = "cc1plus-emulated"
COMPILER = "g++-14-aarch64-linux-gnu"
PYTHON = "3.13"
PLATFORMS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 42)))
COLLECT_NO_GARBAGE = "import gc; gc.disable()\n"  # no process lives long, and importing PyTorch takes a sixth less
UNFINISHED = "unfinished-"


def cached_root() -> Path:
    """Return the root, made anew if there is none of this recipe. Raises SetupError.

    An interrupted set-up leaves nothing that is taken for a root; a second one at the same time waits for the first.
    """
    cache = cache_folder()
    root = cache / _recipe_digest()
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        for left in cache.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        if not root.is_dir():
            unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cache))
            _make(unfinished)
            unfinished.chmod(0o755)
            unfinished.rename(root)
    return root


def emulator(root: Path) -> Path:
    """Return the static qemu-aarch64 for this machine."""
    return root / "emulator/usr/bin/qemu-aarch64"


def cache_folder() -> Path:
    """Return the folder of all roots: GRAVITON_CACHE, or one in the user's cache that fresh checkouts share."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cpu-inference-ladder" / "graviton"
    return Path(os.environ.get(CACHE_VARIABLE) or default).absolute()


def _recipe_digest() -> str:
    recipe = [(HERE / name).read_bytes() for name in ("root.py", "debian.py", REQUIREMENTS.name)]
    return hashlib.sha256(b"".join([*recipe, debian.architecture().encode()])).hexdigest()[:16]


def _make(root: Path) -> None:
    host = debian.architecture()
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="apt-", dir=root) as folder:
        _say(begin_s, f"fetching Debian {debian.SUITE} for arm64")
        debian.Apt(Path(folder) / "arm64", "arm64").unpack(PACKAGES, root)
        native = debian.Apt(Path(folder) / host, host)
        native.unpack_one(EMULATOR, root / "emulator")
        native.unpack((COMPILER,), root / "compiler")
    _compile_natively(root)
    for name in ("passwd", "group"):  # what base-passwd's own script would do
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    for mount_point in ("dev", "proc", "sys", "tmp", "suite"):
        (root / mount_point).mkdir(exist_ok=True)
    (root / "etc/hosts").touch()
    _say(begin_s, f"fetching the aarch64 wheels of {REQUIREMENTS.name}")
    packages = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    _install_wheels(packages)
    (packages / "collect_no_garbage.pth").write_text(COLLECT_NO_GARBAGE)
    _say(begin_s, "done")


def _compile_natively(root: Path) -> None:
    """Let g++ call the same GCC's compiler proper as a program of this machine: the same assembly, ten times as fast as emulated."""
    [emulated] = root.glob("usr/libexec/gcc/aarch64-linux-gnu/*/cc1plus")
    libraries = next(root.glob("compiler/usr/lib/*-linux-gnu/libc.so.6")).parent.name
    version = emulated.parent.name
    emulated.rename(emulated.with_name(EMULATED_COMPILER))
    links = {
        str(emulated.relative_to(root)): f"/compiler/usr/libexec/gcc-cross/aarch64-linux-gnu/{version}/cc1plus",
        "lib64": "/compiler/usr/lib64",
        f"usr/lib/{libraries}": f"/compiler/usr/lib/{libraries}",
        # Where a cross compiler looks for what a native one has elsewhere.
        "usr/lib/gcc-cross": "gcc",
        "usr/aarch64-linux-gnu": ".",
        f"usr/include/c++/{version}/aarch64-linux-gnu": f"../../aarch64-linux-gnu/c++/{version}",
    }
    for link, target in links.items():
        (root / link).symlink_to(target)


def _install_wheels(target: Path) -> None:
    """Unpack exactly the pinned wheels: pip would read markers for this machine, not for Arm, so it resolves nothing."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", f"{platform}_aarch64")]
    options = ["--quiet", "--no-deps", "--no-compile", "--ignore-requires-python", "--only-binary=:all:"]
    python = [*platforms, "--implementation", "cp", "--python-version", PYTHON]
    command = [sys.executable, "-m", "pip", "install", *options, *python, "--target", str(target), "--requirement", str(REQUIREMENTS)]
    debian.run(command, "pip install of the aarch64 wheels")


def _say(begin_s: float, what: str) -> None:
    print(f"emulated Graviton, set-up: {what} ({time.monotonic() - begin_s:.0f} s)", flush=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
