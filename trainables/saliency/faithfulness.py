"""Faithfulness: does a map describe what the model does? A covariate of the localisation scores, not one of them.

To add one: a function from an `Explained` to one score per image, and its name in FAITHFULNESS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.core.shapes import Images, Labels, Maps, PerImage
from trainables.core.streams import torch_stream
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, in_batches, maps_of, target_logits
from trainables.saliency.localisation.metric import defined

STEPS = 28
"""Steps in which `deletion` and `insertion` change all pixels."""
REGIONS = 40
"""Squares that `infidelity` sets to zero, one at a time."""
RADIUS = 0.02
"""Largest change of a pixel in `sensitivity_max`, as a share of the span from black to white."""
COPIES = 5
"""Noisy copies of each image in `sensitivity_max`."""


@dataclass(frozen=True)
class Explained:
    """Maps of images, with the model and the attribution that they come from."""

    model: Classifier
    """In evaluation mode."""
    attribution: Attribution
    images: Images
    targets: Labels
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
    def probabilities(self, images: Images) -> PerImage:
        """The target class's probability for changed `images`."""
        return in_batches(
            lambda x, y: self.model(x).logits.softmax(dim=1).gather(1, y[:, None])[:, 0], images, self.targets
        )

    @torch.no_grad()
    def logits(self, images: Images) -> PerImage:
        """The target class's logit for changed `images`."""
        return in_batches(partial(target_logits, self.model), images, self.targets)

    def defined(self, scores: PerImage) -> PerImage:
        """Set scores to NaN where the map is all zero or not finite."""
        return defined(scores.to(self.maps.dtype), self.maps, torch.ones_like(self.maps, dtype=torch.bool))


def deletion(explained: Explained) -> PerImage:
    """Area under the target's probability as pixels are set to zero, the map's highest first; low is faithful.

    In [0, 1]. 29 passes per image. NaN for an all-zero map.

    Source: Petsiuk et al., BMVC 2018, section 4.2 (RISE).
    """
    return _area_under_fade(explained, show_highest=False)


def insertion(explained: Explained) -> PerImage:
    """Area under the target's probability as pixels appear, the map's highest first; high is faithful.

    In [0, 1]. 29 passes per image. NaN for an all-zero map.

    Source: Petsiuk et al., BMVC 2018, section 4.2 (RISE). They start from a blurred image; here it is all zero, the
    baseline of all attributions.
    """
    return _area_under_fade(explained, show_highest=True)


def infidelity(explained: Explained) -> PerImage:
    """Mean over random squares of (b · mass of the map in the square − fall of f_y with the square at zero)²; >= 0.

    In logits²; low is faithful. b is the factor that fits the image's falls best, as maps have no common unit (captum's
    `normalize`). The 40 squares have sides of a quarter to a half of the image's. 41 passes per image. NaN for an
    all-zero map.

    Source: Yeh et al., NeurIPS 2019, definition 2.1, with squares in place of noise. Maps are absolute values here, so
    they can predict a fall but not a rise.
    """
    height, width = explained.maps.shape[1:]
    squares = random_squares(REGIONS, height, width, explained.rng("infidelity")).to(explained.maps.device)
    masses = torch.stack([(explained.maps * square).flatten(1).sum(dim=1) for square in squares], dim=1)
    whole = explained.logits(explained.images)
    falls = torch.stack([whole - explained.logits(explained.images * ~square) for square in squares], dim=1)
    squared = masses.square().sum(dim=1)
    fit = torch.where(squared > 0, (masses * falls).sum(dim=1) / squared, 0)
    return explained.defined((fit[:, None] * masses - falls).square().mean(dim=1))


def random_squares(n: int, height: int, width: int, rng: torch.Generator) -> Bool[Tensor, "{n} {height} {width}"]:
    """Draw n squares at random places, with sides of a quarter to a half of the image's shorter side."""
    shorter = min(height, width)
    sides = torch.randint(max(1, shorter // 4), max(1, shorter // 2) + 1, (n,), generator=rng)
    tops = (torch.rand(n, generator=rng) * (height - sides + 1)).long()
    lefts = (torch.rand(n, generator=rng) * (width - sides + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= tops[:, None]) & (rows < (tops + sides)[:, None])
    in_columns = (columns >= lefts[:, None]) & (columns < (lefts + sides)[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]


def sensitivity_max(explained: Explained) -> PerImage:
    """Largest ‖map of a noisy copy − map‖ / ‖map‖ over 5 copies; >= 0, low is stable.

    The noise is uniform, at most 0.02 of the span from black to white either way. As expensive as 5 maps. NaN for an
    all-zero map.

    Source: Yeh et al., NeurIPS 2019, definition 3.1, by sampling.
    """
    norms = explained.maps.flatten(1).norm(dim=1)
    changes = [
        maps_of(explained.attribution, explained.model, explained.images + noise, explained.targets) - explained.maps
        for noise in random_noise(explained)
    ]
    return explained.defined(torch.stack([c.flatten(1).norm(dim=1) / norms for c in changes]).amax(dim=0))


def random_noise(explained: Explained) -> Float[Tensor, "copies channels height width"]:
    """Draw the noise of each copy, the same for all images."""
    uniform = torch.rand(COPIES, *explained.images.shape[1:], generator=explained.rng("sensitivity_max"))
    return ((2 * uniform - 1) * (RADIUS * explained.span)).to(explained.images)


def _area_under_fade(explained: Explained, show_highest: bool) -> PerImage:
    """Area under the target's probability against the share of pixels changed, by trapezoids, in [0, 1].

    Pixels change from the map's highest to its lowest, ties in the order of rows. With `show_highest` the image starts
    at zero and pixels are restored; without it, the image starts whole and pixels are set to zero.
    """
    flat = explained.maps.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    place = place.view_as(explained.maps)[:, None]
    heights = []
    for step in range(STEPS + 1):
        changed = place < round(step / STEPS * flat.shape[1])
        shown = changed if show_highest else ~changed
        heights.append(explained.probabilities(explained.images * shown))
    return explained.defined(torch.trapezoid(torch.stack(heights, dim=1), dx=1 / STEPS, dim=1))


FAITHFULNESS: dict[str, Callable[[Explained], PerImage]] = {
    measure.__name__: measure for measure in (deletion, infidelity, insertion, sensitivity_max)
}
