"""scikit-learn's labelled digits as pictures, and models of them.

`train` writes the pictures, the weights of a small model, and a copy of this file beside them.
`python -m tests.digit_pictures FOLDER MODEL...` writes the pictures, and FOLDER/MODEL.pt of each model of torchvision or timm.
"""

import shutil
import sys
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
    """Write the pictures and the trained small model."""
    write(folder)
    made, threads = module(), torch.get_num_threads()
    torch.set_num_threads(1)  # of products this small two wait for each other longer than they work
    learn(made, "digits:create", SIZE, folder, epochs=8, rate=3e-3)
    torch.set_num_threads(threads)
    torch.save(made.state_dict(), folder / "digits.pt")
    shutil.copy(__file__, folder / FILE)


def write(folder: Path) -> None:
    """Write pictures of the digits into `folder`/seen and `folder`/unseen, a folder for each class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for place, row in enumerate(order):
        file = folder / ("unseen" if place < UNSEEN else "seen") / str(digits.target[row]) / f"{row:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(digits.images[row] * 15, np.ones((5, 5))).astype(np.uint8)
        Image.fromarray(pixels).convert("RGB").save(file)


def learn(made: nn.Module, name: str, side: int, folder: Path, *, epochs: int, rate: float) -> None:
    """Train a model on the seen pictures, of `side` pixels and preprocessed as the source of `name` says."""
    from fixtures.inputs.pictures import Pictures
    from fixtures.tasks import labelled
    from reports.text.image_shape import square

    seen = labelled.find(folder / "seen", most=2000)
    labelled.draw(name, square(side), seen.files, seen.labels, folder)
    pictures = Pictures(folder)
    images, labels = torch.from_numpy(pictures.batch(0, len(pictures))), torch.from_numpy(pictures.labels)
    torch.manual_seed(0)
    made.train()
    optimizer = torch.optim.AdamW(made.parameters(), lr=rate)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(labels)), 64):
            loss = nn.functional.cross_entropy(made(images[rows]), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    made.eval()


def main(folder: Path, names: list[str], side: int = 64) -> None:
    """Write the pictures, and the weights of each named model trained on them."""
    from fixtures.models import timm_models, torchvision_models
    from reports.text.image_shape import square

    write(folder)
    for name in names:
        source, _, own = name.partition(":")
        torch.manual_seed(0)
        made = {"timm": timm_models, "torchvision": torchvision_models}[source].create(own, square(side), classes=10)
        learn(made, name, side, folder, epochs=10, rate=3e-4)
        torch.save(made.state_dict(), folder / f"{own}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
