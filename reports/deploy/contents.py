"""What stands in a deployment's own files: requirements, environment, Dockerfile, units. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fixtures.machine.allocators import ALLOCATORS
from reports.text.markdown import escape
from reports.text.plain_text import plain

PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PORT = 8080
_USUAL = re.compile(r"[\w.,@+ ()-]*")
COMPILER = "g++"  # Debian's package

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
exec "$python" {program} "$@"
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
TimeoutStopSec=15
DynamicUser=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
# No MemoryDenyWriteExecute: oneDNN, OpenVINO and ONNX Runtime write the code that they run.

[Install]
WantedBy=multi-user.target
"""

DOCKERFILE = """\
# SPDX-License-Identifier: Apache-2.0
# docker build -t {name} .
# docker run --read-only --tmpfs /tmp:exec --cap-drop ALL --security-opt no-new-privileges -p 127.0.0.1:{port}:{port} {name}
# Prove it in place: docker run {name} ./run.sh check.py
# By digest: --build-arg BASE=python@sha256:…, of which `docker buildx imagetools inspect python:{python}-slim-bookworm` tells the newest
{huge_pages}ARG BASE=python:{python}-slim-bookworm
FROM $BASE
{system}RUN useradd --uid 10001 --no-create-home serving
WORKDIR /opt/{name}
COPY requirements.txt .
{torch}RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER 10001
EXPOSE {port}
HEALTHCHECK --start-period=10m --start-interval=2s CMD ["python", "-c", "{health}"]
CMD ["./run.sh", "--host", "0.0.0.0"]
"""

TORCH = """\
ARG TORCH_INDEX={index}
RUN pip install --no-cache-dir --no-deps --index-url $TORCH_INDEX {packages}
"""

HEALTH = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}{path}', timeout=5)"
HEALTH_PATH, HEALTH_OF_TEXT_PATH = "/v2/health/ready", "/health"

DOCKERIGNORE = """\
.venv
.git
__pycache__
*.service
Dockerfile
.dockerignore
"""

HUGE_PAGES = "# Huge pages are the host's to allow: echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled\n"

README_BEGINNING = """\
# {model} by {step}

{sentence}

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    PYTHON=.venv/bin/python ./run.sh check.py                  # are the steps in force here?
    PYTHON=.venv/bin/python ./run.sh check.py --throughput     # and does it {reach}?
    PYTHON=.venv/bin/python ./run.sh                           # serve on port {port}

"""

README = """\
In your own program (started by `./run.sh PROGRAM`, so that the environment is in force):

    from model import load
    model = load()
    outputs = model.infer(images)     # float32, at most {batch_size} samples in a call

It serves by the Open Inference Protocol (KServe v2). Triton's client (`pip install tritonclient[http]`) and any HTTP client talk to it:

    import numpy, tritonclient.http
    images = numpy.load("sample.npz")["input_0"]
    wanted = tritonclient.http.InferInput("input_0", images.shape, "FP32")
    wanted.set_data_from_numpy(images)
    outputs = tritonclient.http.InferenceServerClient("localhost:{port}").infer("{model}", [wanted]).as_numpy("output_0")

    curl localhost:{port}/v2/models/{model_in_url}
    python3 -c 'if True:
        import json, numpy
        images = numpy.load("sample.npz")["input_0"]
        tensor = {{"name": "input_0", "datatype": "FP32", "shape": images.shape, "data": images.ravel().tolist()}}
        print(json.dumps({{"inputs": [tensor]}}))' |
        curl --data-binary @- localhost:{port}/v2/models/{model_in_url}/infer

It has no TLS and no passwords. Put a proxy in front where programs other than your own reach it.

"""

README_END = """\
- Recorded: {figures}
- Measured in run {run} on {machine}; the artifact is built for {built_for}.
- {system}
- The files that carry `SPDX-License-Identifier: Apache-2.0` are cpu-inference-ladder's; model and weights have licences of their own.
"""


def requirements(pinned: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Return the pinned packages, each group below what it is, without torch's local label: any build of that release serves."""
    lines = []
    if torch := torch_packages({name: version for _, versions in pinned for name, version in versions.items()}):
        lines.append(f"# CPU builds of torch, before the others: pip install --no-deps --index-url {PYTORCH_CPU_INDEX} {' '.join(torch)}")
    for title, versions in pinned:
        lines += [f"# {title}", *(f"{name}=={version}" for name, version in versions.items())] if versions else []
    return "\n".join(lines) + "\n"


def torch_packages(versions: Mapping[str, str]) -> list[str]:
    """Return what PyTorch's own index is asked for: nothing else may come from there."""
    return [f"{name}=={versions[name]}" for name in ("torch", "torchvision") if name in versions]


def environment_file(environment: Mapping[str, str]) -> str:
    """Return the recipe's variables as systemd, Docker and run.sh read them. Raises ValueError for a value that spans lines."""
    for name, value in environment.items():
        if "\n" in value:
            raise ValueError(f"variable {name} spans lines: {value!r}")
    return "".join(f"{name}={value}\n" for name, value in sorted(environment.items())) or "# this recipe sets no variable\n"


def run_script(workers: int) -> str:
    """Return run.sh."""
    return RUN.format(program="serve.py" if workers == 1 else "workers.py")


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
    torch = torch_packages(deployment["versions"])
    install = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)} && rm -rf /var/lib/apt/lists/*"
    return DOCKERFILE.format(
        name=name,
        port=PORT,
        python=python,
        huge_pages=HUGE_PAGES if deployment["huge_pages"] else "",
        system=f"RUN {install}\n" if packages else "",
        health=HEALTH.format(port=PORT, path=HEALTH_OF_TEXT_PATH if "context" in deployment else HEALTH_PATH),
        torch=TORCH.format(index=PYTORCH_CPU_INDEX, packages=" ".join(torch)) if torch else "",
    )


def system_packages(allocator: str | None, of_runtime: tuple[str, ...]) -> tuple[str, ...]:
    """Return Debian's packages that the recipe needs beside Python: that of the allocator that it preloads, and those of its runtime."""
    return of_runtime if allocator is None else (ALLOCATORS[allocator].package, *of_runtime)


def readme(deployment: Mapping[str, Any], sentence: str, figures: str, packages: Sequence[str]) -> str:
    """Return the README of a deployment that takes images."""
    middle = README.format(
        model=plain(deployment["model"]), model_in_url=quote(plain(deployment["model"])), port=PORT, batch_size=deployment["batch_size"]
    )
    return whole_readme(middle, deployment, sentence, figures, packages, reach="reach the recorded throughput")


def whole_readme(middle: str, deployment: Mapping[str, Any], sentence: str, figures: str, packages: Sequence[str], *, reach: str) -> str:
    """Return a README: what every deployment says first and last, and `middle` between; `reach` is what --throughput asks."""
    python = "Python with its headers (python3-dev)" if COMPILER in packages else "Python"
    beginning = README_BEGINNING.format(
        model=plain(deployment["model"]), step=as_text(deployment["step"]), sentence=plain(sentence, 1000), port=PORT, reach=reach
    )
    end = README_END.format(
        figures=plain(figures, 400),
        run=as_text(deployment["run"]),
        machine=as_text(deployment["machine"]),
        built_for=f"{deployment['architecture_of_cpu']} CPUs like this one"
        if deployment["runtime"] == "aot_inductor"
        else deployment["architecture_of_cpu"],
        system=f"Beside {python} it needs Debian's {', '.join(packages)}." if packages else "Beside Python it needs no system package.",
    )
    return beginning + middle + end


def as_text(name: str) -> str:
    """Return a name of a run's own, which may be anybody's, for Markdown: usual ones stay as they are."""
    shown = plain(name)
    return shown if _USUAL.fullmatch(shown) else escape(shown)
