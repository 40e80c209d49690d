"""The input of a faithfulness measure: maps, the images and model that they explain, and their attribution."""

from dataclasses import dataclass
from functools import partial

import torch

from trainables.core.streams import torch_stream
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, in_batches, target_logits
from trainables.saliency.shapes import Images, Maps, Scores, Targets


@dataclass(frozen=True)
class Explained:
    """Maps of images, with the model and the attribution that they come from."""

    model: Classifier
    """In evaluation mode."""
    attribution: Attribution
    images: Images
    targets: Targets
    maps: Maps
    """As the attribution returns them, not blurred."""
    seed: int
    """The trial's seed. Random draws come from its streams and are the same for all images."""
    span: float = 1.0
    """Pixel value of white minus that of black."""

    def rng(self, measure: str) -> torch.Generator:
        """A CPU generator that restarts with each call."""
        return torch_stream(measure, self.seed)

    @torch.no_grad()
    def probabilities(self, images: Images) -> Scores:
        """The target class's probability for changed `images`."""
        return in_batches(
            lambda x, y: self.model(x).logits.softmax(dim=1).gather(1, y[:, None])[:, 0], images, self.targets
        )

    @torch.no_grad()
    def logits(self, images: Images) -> Scores:
        """The target class's logit for changed `images`."""
        return in_batches(partial(target_logits, self.model), images, self.targets)

    def defined(self, scores: Scores) -> Scores:
        """Set scores to NaN where the map is all zero or not finite."""
        flat = self.maps.flatten(1)
        usable = (flat > 0).any(dim=1) & flat.isfinite().all(dim=1)
        return torch.where(usable, scores.to(self.maps.dtype), torch.nan)
