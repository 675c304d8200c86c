"""The shapes of what the operator takes and returns, named once.

B batch, C channels, *S the axes of the image, *T those of the output grid, G offset groups, d = 1, 2 or 3 spatial axes.
"""

from jaxtyping import Float
from torch import Tensor

ImageTensor = Float[Tensor, "B C *S"]
GridTensor = Float[Tensor, "B C *T"]
GroupedOffsets = Float[Tensor, "B G d *T"]
# *GdT stands for (d, *T) and for (G, d, *T); an optional axis is more than a shape annotation can say.
OffsetTensor = Float[Tensor, "B *GdT"]
