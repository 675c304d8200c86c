"""Spatial transformer of torch's tutorial: pytorch/tutorials, intermediate_source/spatial_transformer_tutorial.py.

The net is the released one, to the last width. `optimizer` is the tutorial's, one group for all; `reduced` is the
advice of later authors (fxia22/stn.pytorch, README: a thousandth for what predicts the transform), on the whole
localiser or on its last part alone.
"""

import torch
from torch import nn
from torch.nn import functional

OFFSET_ONLY = tuple(
    f"{layer}.{kind}"
    for layer in ("localization.0", "localization.3", "fc_loc.0", "fc_loc.2")
    for kind in ("weight", "bias")
)
SAMPLING = ("",)
WILD = {"fc_loc.2.weight": 5.0}
FAULT = "fc_loc.2.bias"


class Net(nn.Module):
    """Classifies digits that it has straightened."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)
        self.localization = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=7),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(True),
            nn.Conv2d(8, 10, kernel_size=5),
            nn.MaxPool2d(2, stride=2),
            nn.ReLU(True),
        )
        self.fc_loc = nn.Sequential(nn.Linear(90, 32), nn.ReLU(True), nn.Linear(32, 6))
        nn.init.zeros_(self.fc_loc[2].weight)
        self.fc_loc[2].bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def stn(self, x):
        """Return the images, straightened."""
        theta = self.fc_loc(self.localization(x).view(-1, 90)).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        return functional.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        """Return log probabilities (B, 10) of images (B, 1, 28, 28)."""
        x = self.stn(x)
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = functional.relu(self.fc1(x.view(-1, 320)))
        x = functional.dropout(x, training=self.training)
        return functional.log_softmax(self.fc2(x), dim=1)


def build():
    return Net()


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.01)


def reduced(model, names=("localization", "fc_loc"), lr=0.01):
    """Return an optimizer that moves what `names` name a thousand times more slowly."""
    slow = [p for name, p in model.named_parameters() if name.startswith(names)]
    fast = [p for name, p in model.named_parameters() if not name.startswith(names)]
    return torch.optim.SGD([{"params": fast}, {"params": slow, "lr": lr * 1e-3}], lr=lr)


loss = functional.nll_loss


def batches(count=4, seed=0, size=32):
    """Yield smooth figures, one for each of ten classes, turned and moved."""
    generator = torch.Generator().manual_seed(seed)
    shapes = functional.interpolate(
        torch.randn(10, 1, 5, 5, generator=torch.Generator().manual_seed(7)), size=28, mode="bicubic"
    )
    for _ in range(count):
        labels = torch.randint(10, (size,), generator=generator)
        theta = torch.eye(2, 3) + 0.15 * torch.randn(size, 2, 3, generator=generator)
        grid = functional.affine_grid(theta, [size, 1, 28, 28], align_corners=False)
        yield functional.grid_sample(shapes[labels], grid, align_corners=False), labels
