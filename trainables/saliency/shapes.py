"""Shapes of the tensors from which maps and their scores are made."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "images channels height width"]
Targets = Int[Tensor, " images"]
"""The class whose logit is explained, for each image."""
Maps = Float[Tensor, "images height width"]
Masks = Bool[Tensor, "images height width"]
Scores = Float[Tensor, " images"]
