"""bf16 autocast in eager mode: weights are cast once, as in the loop that users write."""

import subprocess
import sys

from fixtures.bench.launch import ROOT

COUNT_CASTS = """
import torch
from torch import nn

from fixtures.protocol import Job, ModelSpec
from fixtures.runtimes.torch_session import TorchSession, keep_cast_weights

LAYERS = 3
model = nn.Sequential(*[nn.Linear(64, 64) for _ in range(LAYERS)]).eval().requires_grad_(False)
job = Job(model=ModelSpec(name="code:a:b"), runtime="eager", precision="bf16", transforms=("bf16_autocast",), batch_size=4, threads=1)
session = TorchSession(job, model, model)
inputs = (torch.randn(4, 64),)

def casts(infer):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        infer()
    return sum(event.count for event in profile.key_averages() if event.key == "aten::_to_copy")

def users_loop():
    outputs = []
    for _ in range(2):
        outputs.append(casts(lambda: trained(*inputs)))
    return outputs

each_time = [casts(lambda: session.infer(inputs)) for _ in range(2)]
trained = nn.Sequential(*[nn.Linear(64, 64) for _ in range(LAYERS)]).eval()
with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
    loop = users_loop()
keep_cast_weights(job, model)
once = [casts(lambda: session.infer(inputs)) for _ in range(2)]
print(each_time, loop, once, session.infer(inputs).requires_grad)
"""


def test_weights_are_cast_once_as_in_a_users_loop() -> None:
    """Three layers have six parameters: a context around each call casts them and the input, one around the loop the input only."""
    done = subprocess.run([sys.executable, "-c", COUNT_CASTS], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "[7, 7] [7, 1] [7, 1] False" == done.stdout.splitlines()[-1]
