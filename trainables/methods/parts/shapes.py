"""Shapes of the tensors that methods pass around."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "batch channels height width"]
Pixels = Bool[Tensor, "batch 1 height width"]
"""True on some pixels, such as those outside the mask."""
Labels = Int[Tensor, " batch"]
Logits = Float[Tensor, "batch classes"]
PerImage = Float[Tensor, " batch"]
TakesPart = Bool[Tensor, " batch"]
"""True for the images over which a penalty is averaged."""
Scalar = Float[Tensor, ""]
