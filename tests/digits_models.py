"""A small ResNet and a small ViT for scikit-learn's labelled digits of 8 x 8 pixels; `train` writes weights beside a copy of this."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
COMPARED = 64


class Block(nn.Module):
    """Two convolutions and what they add to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


def resnet_module() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    return nn.Sequential(stem, Block(32), nn.MaxPool2d(2), Block(32), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10))


class ViT(nn.Module):
    """Patches of 2 x 2 pixels, two layers of attention."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.places = nn.Parameter(0.02 * torch.randn(1, 16, width))
        layer = nn.TransformerEncoderLayer(width, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        result: torch.Tensor = self.head(self.layers(tokens).mean(1))
        return result


MODULES = {"resnet": resnet_module, "vit": ViT}


def train(folder: Path) -> None:
    """Train both on four fifths of the digits, and keep their weights, the other digits and their labels in `folder`."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = digits.images[order, None].astype(np.float32) / 8 - 1, digits.target[order]
    seen = len(order) * 4 // 5
    np.savez(folder / "unseen.npz", images=images[seen:], labels=labels[seen:])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of products this small two wait for each other longer than they work
    for name, make in MODULES.items():
        torch.manual_seed(0)
        module = make().train()
        epochs = 8 if name == "resnet" else 20
        batches = -(-seen // 64)
        optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * batches)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(seen), 64):
                loss = nn.functional.cross_entropy(module(torch.from_numpy(images[rows])), torch.from_numpy(labels[rows]))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
        torch.save(module.state_dict(), folder / f"{name}.pt")
    torch.set_num_threads(threads)


def _served(name: str) -> tuple[nn.Module, torch.Tensor]:
    module = MODULES[name]()
    module.load_state_dict(torch.load(HERE / f"{name}.pt", weights_only=True))
    with np.load(HERE / "unseen.npz") as unseen:
        return module.eval(), torch.from_numpy(unseen["images"][:COMPARED])


def resnet() -> tuple[nn.Module, torch.Tensor]:
    return _served("resnet")


def vit() -> tuple[nn.Module, torch.Tensor]:
    return _served("vit")
