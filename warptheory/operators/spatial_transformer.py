"""Spatial transformers: a small network looks at an image, and says by which transform of its plane it is read."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer, check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators import _plane_transforms as transforms
from warptheory.operators._arguments import check_for_layer, check_images, check_shape, check_tensor, told
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import SamplingPattern

__all__ = ["SpatialTransformer", "affine_offsets", "projective_offsets", "thin_plate_offsets"]


def affine_offsets(
    theta: Float[Tensor, "B d D"],
    size: Sequence[int],
    align_corners: bool = False,
    *,
    image_size: Sequence[int] | None = None,
) -> Float[Tensor, "B d *T"]:
    """Return the offsets of affine transforms, in pixels, for `warp`: what `affine_grid` says in coordinates.

    Args:
        theta: matrices (B, d, d + 1) that take x, y, z and 1 of the outcome to x, y, z of the image, from −1 to 1;
            d = 1, 2 or 3.
        size: that of the outcome, (B, C, *T), as `affine_grid` takes it.
        align_corners: whether ±1 are the centres of the outermost pixels, or their outer edges.
        image_size: size S of the image, in pixels; None for T.

    Returns:
        Position − index, shape (B, d, *T), in array-axis order; exactly zero at the identity.

    Raises:
        ArgumentError: shapes or sizes that do not fit, by name of the argument.
    """
    frame = transforms.frame(size, image_size, align_corners)
    _check_theta(theta, size)
    return frame.for_warp(transforms.affine(theta, frame))


def projective_offsets(
    theta: Float[Tensor, "B 3 3"],
    size: Sequence[int],
    align_corners: bool = False,
    *,
    image_size: Sequence[int] | None = None,
) -> Float[Tensor, "B 2 *T"]:
    """Return the offsets of homographies of the plane, in pixels, for `warp`.

    Args:
        theta: matrices (B, 3, 3) that take x, y, 1 of the outcome to multiples of x, y, 1 of the image, from −1 to 1.
        size: that of the outcome, (B, C, H, W).
        align_corners: whether ±1 are the centres of the outermost pixels, or their outer edges.
        image_size: size S of the image, in pixels; None for that of the outcome.

    Returns:
        Position − index, shape (B, 2, H, W), in array-axis order; NaN where the position is at infinity, which reads
        nothing with zeros outside, and has no gradient.

    Raises:
        ArgumentError: shapes or sizes that do not fit, by name of the argument.
    """
    frame = transforms.frame(size, image_size, align_corners)
    _check_theta(theta, size)
    return frame.for_warp(transforms.projective(theta, frame))


def thin_plate_offsets(
    theta: Float[Tensor, "B K 2"],
    size: Sequence[int],
    align_corners: bool = False,
    *,
    image_size: Sequence[int] | None = None,
    control_points: Float[Tensor, "K 2"] | None = None,
) -> Float[Tensor, "B 2 *T"]:
    """Return the offsets of thin-plate splines, in pixels, for `warp`: the smoothest through some displacements.

    Args:
        theta: displacements of K control points, x before y, in coordinates from −1 to 1, shape (B, K, 2).
        size: that of the outcome, (B, C, H, W).
        align_corners: whether ±1 are the centres of the outermost pixels, or their outer edges.
        image_size: size S of the image, in pixels; None for that of the outcome.
        control_points: where they are in the outcome, x before y, shape (K, 2); None for a regular grid from −1 to 1
            of K = n² points, row after row. They get no gradient.

    Returns:
        Position − index, shape (B, 2, H, W), in array-axis order.

    Raises:
        ArgumentError: shapes, sizes or points that do not fit, by name of the argument.

    Source: F. L. Bookstein, IEEE Trans. Pattern Anal. Mach. Intell. 11(6), 1989.
    """
    frame = transforms.frame(size, image_size, align_corners)
    _check_theta(theta, size)
    if control_points is None:
        count = math.isqrt(theta.shape[1])
        if count < 2 or count**2 != theta.shape[1]:
            raise ArgumentError("theta", expected="shape (B, n², 2) with n ≥ 2", received=tuple(theta.shape))
        control_points = transforms.regular_points(count).to(theta.device)
    check_tensor("control_points", control_points)
    check_shape("control_points", control_points, (theta.shape[1], 2))
    spline = transforms.spline_of(control_points)
    return frame.for_warp(transforms.thin_plate(theta, frame, control_points, spline))


def _check_theta(theta: Tensor, size: Sequence[int]) -> None:
    check_tensor("theta", theta)
    if theta.ndim != 3 or len(theta) != size[0]:
        expected = f"3 axes, the first of the length {size[0]} that size says"
        raise ArgumentError("theta", expected=expected, received=f"shape {tuple(theta.shape)}")


class SpatialTransformer(SamplingOperator):
    """A spatial transformer: it reads its input by a transform of the plane that it computes from it.

    Args:
        in_channels: number C of channels.
        localisation: a layer from images (B, C, *S) to features (B, F); None makes a small network of convolutions.
        mode: "affine", "projective" or "thin-plate".
        features: their number F.
        dim: number d of axes: 1, 2 or 3 for affine transforms, 2 for the others.
        size: size T of the outcome; None for that of the image.
        points: n of a thin plate's n × n control points.
        align_corners: whether coordinates ±1 are the centres of the outermost pixels, or their outer edges.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or more axes than the mode has.
        UnknownNameError: no such mode, kernel or boundary.

    Source: M. Jaderberg et al., arXiv 1506.02025.
    """

    control_points: Tensor
    spline: Tensor

    def __init__(
        self,
        in_channels: int,
        localisation: nn.Module | None = None,
        mode: str = "affine",
        *,
        features: int = 32,
        dim: int = 2,
        size: Sequence[int] | None = None,
        points: int = 4,
        align_corners: bool = False,
        kernel: Any = "linear",
        boundary: str = "border",
    ) -> None:
        super().__init__()
        check_known("mode", mode, _COUNTS)
        self.in_channels, self.mode = check_integer("in_channels", in_channels), mode
        self.features, self.points = check_integer("features", features), check_integer("points", points, least=2)
        self.dim = check_integer("dim", dim, most=3 if mode == "affine" else 2, least=1 if mode == "affine" else 2)
        if size is not None and (not isinstance(size, Sequence) or len(size) != dim):
            raise ArgumentError("size", expected=f"{dim} numbers", received=size)
        self.size = None if size is None else tuple(check_integer("size", n) for n in size)
        self.align_corners = check_flag("align_corners", align_corners)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        self._is_given = localisation is not None
        self.localisation = _localiser(in_channels, features, dim) if localisation is None else localisation
        self.head = nn.Linear(features, _COUNTS[mode](dim, points))
        if mode == "thin-plate":
            at = transforms.regular_points(points)
            self.register_buffer("control_points", at, persistent=False)
            self.register_buffer("spline", transforms.spline_of(at), persistent=False)
        self.reset_head()

    @property
    def _seen_by(self) -> Tensor | None:
        """The first parameter that the image meets; a localisation of the user's takes what it takes."""
        return None if self._is_given else next(self.localisation.parameters(), None)

    @torch.no_grad()
    def reset_head(self) -> None:
        """Set the last layer to its start: the identity, whatever the image."""
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if self.mode != "thin-plate":
            rows = self.dim + (self.mode == "projective")
            self.head.bias.copy_(torch.eye(rows, self.dim + 1).flatten())

    def transform(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B R D"]:  # noqa: A002
        """Return the transform θ at images (B, C, *S).

        It is (B, d, d + 1), (B, 3, 3) or (B, n², 2), as `affine_offsets`, `projective_offsets` or `thin_plate_offsets`
        takes it.
        """
        features = self.localisation(input)
        if features.ndim != 2 or features.shape[1] != self.features:
            expected = f"a layer that returns shape (B, {self.features}), as features says"
            raise ArgumentError("localisation", expected=expected, received=tuple(features.shape))
        check_for_layer("localisation", features, self.head.weight)
        found = self.head(features)
        columns = 2 if self.mode == "thin-plate" else self.dim + 1
        # Half precision has too few digits for places on a large image.
        return torch.unflatten(found.to(torch.promote_types(found.dtype, torch.float32)), 1, (-1, columns))

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at images (B, C, *S): one sample for each pixel of the outcome, for all channels alike."""
        size = check_images("input", input, self.in_channels, self.dim, self._seen_by)
        frame = transforms.Frame(size, self.size or size, self.align_corners)
        theta = self.transform(input)
        if self.mode == "thin-plate":
            offsets = transforms.thin_plate(theta, frame, self.control_points, self.spline)
        else:
            offsets = (transforms.affine if self.mode == "affine" else transforms.projective)(theta, frame)
        return SamplingPattern(
            size, self.in_channels, offsets, frame.lattice, kernel=self.kernel, boundary=self.boundary
        )

    def extra_repr(self) -> str:
        """Return the arguments."""
        names = ("mode", "features", "dim", "size", "points", "align_corners", "kernel", "boundary")
        return f"{self.in_channels}, {told(self, *names)}"


# Numbers of parameters by number of axes and of points along each.
_COUNTS: dict[str, Callable[[int, int], int]] = {
    "affine": lambda dim, _: dim * (dim + 1),
    "projective": lambda dim, _: (dim + 1) ** 2,
    "thin-plate": lambda dim, points: dim * points**dim,
}


def _localiser(channels: int, features: int, dim: int) -> nn.Module:
    """Return a network from images (B, C, *S) of any size to features (B, F), which sees where things are."""
    pool: Any = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dim - 1]
    convolution: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1]
    return nn.Sequential(
        pool(16),
        convolution(channels, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        convolution(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4**dim, features),
        nn.ReLU(),
    )


def _example(mode: str, **options: Any) -> OperatorExample:
    def build() -> SamplingOperator:
        layer = SpatialTransformer(4, None, mode, **options)
        nn.init.normal_(layer.head.weight, std=0.3)
        return layer

    return OperatorExample(build, lambda x, _: (x,), (2, 4, 5, 4))


operator = OperatorEntry(
    formula=r"y[n] = x(T_\theta(n)), \qquad \theta = L(x)",
    where={
        r"T_\theta": "an affine map, a homography, or the identity plus a thin-plate spline",
        r"L": "the localisation network",
    },
    source="M. Jaderberg et al., arXiv 1506.02025; thin plates: F. L. Bookstein, IEEE Trans. PAMI 11(6), 1989",
    conventions=(
        "Transforms take coordinates of the outcome to those of the image, x before y, from −1 to 1; with "
        "align_corners these are the centres of the outermost pixels, else their outer edges.",
        "Outside of the image there is its edge; other boundary rules can be chosen.",
        "A place at infinity has no offset: NaN, which reads nothing with zeros outside, else the first pixel.",
    ),
    initialisation="The last layer has weights of zero and the identity as its bias: the layer returns its input.",
    examples={
        "affine": _example("affine", size=(4, 6)),
        "projective": _example("projective", align_corners=True),
        "thin plate": _example("thin-plate", points=3, boundary="zeros"),
    },
    defects=(
        Defect(
            "PyTorch's tutorial reads zeros outside of images from which the mean is taken: on digits, whose "
            "background is −0.42 then, it learns to zoom out, to a bright frame.",
            "By default the edge goes on: zoomed out by two, a uniform background stays what it is.",
            "test_zooming_out_adds_no_frame",
        ),
    ),
)
