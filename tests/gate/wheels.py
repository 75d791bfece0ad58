"""Packages made up for tests, as wheels that pip installs without any index."""

import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, version: str, code: str) -> Path:
    """Write a wheel of one module `name`, with this code, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD")))
    return file


def requirements(wheels: Path, *lines: str) -> str:
    """Return a requirements file that takes packages from a folder alone."""
    return "\n".join(("--no-index", f"--find-links {wheels}", *lines, ""))
