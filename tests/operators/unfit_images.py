"""Inputs that no layer of 4 channels in the plane takes, and what it says of each."""

import torch

UNFIT_IMAGES = [
    (torch.zeros(1, 4, 5, 5).double(), r"^input: expected dtype torch.float32, as the layer's parameters have"),
    (torch.zeros(1, 5, 5, 5), r"^input: expected shape \(B, 4, \*S\) with 2 axes S"),
    (torch.zeros(1, 4, 5, 5, 5), r"^input: expected shape \(B, 4, \*S\) with 2 axes S"),
    (torch.zeros(1, 4, 0, 5), r"^input: expected no empty spatial axis, got"),
    ([1.0], r"^input: expected a tensor \(B, C, \*S\), got list$"),
]
