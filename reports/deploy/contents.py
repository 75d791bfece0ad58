"""What stands in a deployment's own files: requirements, environment, Dockerfile, units. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from fixtures.allocators import ALLOCATORS, PRELOAD
from reports.plain_text import plain

PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PORT = 8080

RUN = """\
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs serve.py, one process for each worker, or the program that is named (./run.sh check.py), with the variables of `environment`.
# PYTHON names another interpreter than python3.
cd "$(dirname "$0")" || exit 1
python="${{PYTHON:-python3}}"
export PYTHONPATH="$PWD${{PYTHONPATH:+:$PYTHONPATH}}"
while IFS='=' read -r name value; do
    case "$name" in '' | '#'*) ;; *) export "$name=$value" ;; esac
done < environment
if [ $# -gt 0 ] && [ -f "$1" ]; then exec "$python" "$@"; fi
{serve}"""

SERVE_ONE = 'exec "$python" serve.py "$@"\n'

SERVE_SEVERAL = """\
trap 'kill $(jobs -p) 2> /dev/null' INT TERM EXIT
for worker in {workers}; do
    WORKER=$worker "$python" serve.py "$@" &
done
wait
"""

UNIT = """\
# SPDX-License-Identifier: Apache-2.0
# Worker %i, bound to CPUs of its own by model.py; copy this folder to /opt/{name} and this file to /etc/systemd/system, then
#   systemctl enable --now {instances}
[Unit]
Description={model} by {step}, worker %i of {workers}

[Service]
WorkingDirectory=/opt/{name}
EnvironmentFile=/opt/{name}/environment
Environment=WORKER=%i
ExecStart=/opt/{name}/.venv/bin/python serve.py --port {port}
Restart=on-failure
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""

DOCKERFILE = """\
# SPDX-License-Identifier: Apache-2.0
# docker build -t {name} . && docker run -p {port}:{port} {name}
# Prove it in place: docker run {name} ./run.sh check.py
{huge_pages}FROM python:{python}-slim-bookworm
{system}WORKDIR /opt/{name}
COPY requirements.txt .
{index}RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER 10001
EXPOSE {port}
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/health', timeout=5)"]
CMD ["./run.sh", "--host", "0.0.0.0"]
"""

DOCKERIGNORE = """\
.venv
__pycache__
"""

HUGE_PAGES = "# Huge pages are the host's to allow: echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled\n"

README = """\
# {model} by {step}

{sentence}

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    PYTHON=.venv/bin/python ./run.sh check.py                  # are the steps in force here?
    PYTHON=.venv/bin/python ./run.sh check.py --throughput     # and does it reach the recorded throughput?
    PYTHON=.venv/bin/python ./run.sh                           # serve on port {port}: POST a .npy to /infer

In your own program (started by `./run.sh PROGRAM`, so that the environment is in force):

    from model import load
    model = load()
    outputs = model.infer(images)     # float32, at most {batch_size} samples in a call

- Recorded: {figures}
- Measured in run {run} on {machine}; the artifact is built for {built_for}.
- {system}
- The files that carry `SPDX-License-Identifier: Apache-2.0` are cpu-inference-ladder's; model and weights have licences of their own.
"""


def requirements(versions: Mapping[str, str]) -> str:
    """Return the pinned packages; torch's local version label is left out, so that any build of that release serves."""
    lines = [f"{name}=={version}" for name, version in versions.items()]
    if "torch" in versions:
        lines.insert(0, f"# CPU builds of torch: PIP_EXTRA_INDEX_URL={PYTORCH_CPU_INDEX}")
    return "\n".join(lines) + "\n"


def environment_file(environment: Mapping[str, str]) -> str:
    """Return the recipe's variables as systemd, Docker and run.sh read them. Raises ValueError for a value that spans lines."""
    for name, value in environment.items():
        if "\n" in value:
            raise ValueError(f"variable {name} spans lines: {value!r}")
    return "".join(f"{name}={value}\n" for name, value in sorted(environment.items())) or "# this recipe sets no variable\n"


def run_script(workers: int) -> str:
    """Return run.sh."""
    several = SERVE_SEVERAL.format(workers=" ".join(map(str, range(workers))))
    return RUN.format(serve=SERVE_ONE if workers == 1 else several)


def unit(deployment: Mapping[str, Any], name: str) -> str:
    """Return a systemd unit of which each worker is an instance."""
    return UNIT.format(
        name=name,
        instances=" ".join(f"{name}@{worker}" for worker in range(deployment["workers"])),
        model=plain(deployment["model"]).replace("%", "%%"),
        step=plain(deployment["step"]).replace("%", "%%"),
        workers=deployment["workers"],
        port=PORT,
    )


def dockerfile(deployment: Mapping[str, Any], name: str, packages: Sequence[str], python: str) -> str:
    """Return a Dockerfile for the machine's own architecture; `packages` are Debian's."""
    install = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)} && rm -rf /var/lib/apt/lists/*"
    return DOCKERFILE.format(
        name=name,
        port=PORT,
        python=python,
        huge_pages=HUGE_PAGES if deployment["huge_pages"] else "",
        system=f"RUN {install}\n" if packages else "",
        index=f"ARG PIP_EXTRA_INDEX_URL={PYTORCH_CPU_INDEX}\n" if "torch" in deployment["versions"] else "",
    )


def system_packages(environment: Mapping[str, str], runtime: str) -> tuple[str, ...]:
    """Return Debian's packages that the recipe needs beside Python."""
    preloaded = environment.get(PRELOAD, "")
    allocator = tuple(each.package for name, each in ALLOCATORS.items() if name in preloaded)
    return allocator + (("g++", "openssl") if runtime == "inductor" else ())


def readme(deployment: Mapping[str, Any], sentence: str, figures: str, packages: Sequence[str]) -> str:
    """Return the deployment's README."""
    return README.format(
        model=plain(deployment["model"]),
        step=plain(deployment["step"]),
        sentence=plain(sentence, 1000),
        port=PORT,
        batch_size=deployment["batch_size"],
        figures=plain(figures, 400),
        run=plain(deployment["run"]),
        machine=plain(deployment["machine"]),
        built_for=f"{deployment['architecture_of_cpu']} CPUs like this one"
        if deployment["runtime"] == "aot_inductor"
        else deployment["architecture_of_cpu"],
        system=f"Beside Python it needs Debian's {', '.join(packages)}." if packages else "Beside Python it needs no system package.",
    )
