"""scikit-learn's labelled digits as pictures, and a small model of them; `train` writes both, and a copy of this beside the weights."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

SIZE = 32
FILE = "digit_pictures.py"
UNSEEN = 400


def module() -> nn.Module:
    widths = (3, 16, 32, 64)
    blocks = [
        nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        for before, after in pairwise(widths)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 10))


def create() -> nn.Module:
    """Return the trained model."""
    made = module()
    made.load_state_dict(torch.load(Path(__file__).with_name("digits.pt"), weights_only=True))
    return made.eval()


def train(folder: Path) -> None:
    """Write pictures of the digits into `folder`/seen and `folder`/unseen, a folder for each class, and train a model on the seen ones."""
    from PIL import Image
    from sklearn.datasets import load_digits

    from fixtures.inputs.pictures import Pictures
    from fixtures.tasks import labelled
    from reports.text.image_shape import square

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for place, row in enumerate(order):
        file = folder / ("unseen" if place < UNSEEN else "seen") / str(digits.target[row]) / f"{row:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(digits.images[row] * 15, np.ones((5, 5))).astype(np.uint8)
        Image.fromarray(pixels).convert("RGB").save(file)
    seen = labelled.find(folder / "seen", most=len(order))
    labelled.draw("digits:create", square(SIZE), seen.files, seen.labels, folder)
    pictures = Pictures(folder)
    images, labels = torch.from_numpy(pictures.batch(0, len(pictures))), torch.from_numpy(pictures.labels)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of products this small two wait for each other longer than they work
    made = module().train()
    optimizer = torch.optim.AdamW(made.parameters(), lr=3e-3)
    for _ in range(8):
        for rows in torch.split(torch.randperm(len(labels)), 64):
            loss = nn.functional.cross_entropy(made(images[rows]), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    torch.set_num_threads(threads)
    torch.save(made.state_dict(), folder / "digits.pt")
    shutil.copy(__file__, folder / FILE)
