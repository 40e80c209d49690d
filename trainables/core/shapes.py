"""Shapes of the tensors that methods, attributions and measures pass around."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "images channels height width"]
Pixels = Bool[Tensor, "images 1 height width"]
"""True on some pixels, such as those outside the mask."""
Labels = Int[Tensor, " images"]
Logits = Float[Tensor, "images classes"]
Features = Float[Tensor, "images features"]
PerImage = Float[Tensor, " images"]
TakesPart = Bool[Tensor, " images"]
"""True for the images over which a penalty is averaged."""
Scalar = Float[Tensor, ""]
Maps = Float[Tensor, "images height width"]
Masks = Bool[Tensor, "images height width"]
Cells = Float[Tensor, "images h w"]
"""Maps at the resolution of a layer."""
