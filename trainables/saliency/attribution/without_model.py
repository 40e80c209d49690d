"""Maps that see no model: baselines from the edges of the image, or from its centre."""

import torch
from torch.nn.functional import conv2d, pad

from trainables.core.shapes import Images, Labels, Maps
from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


class EdgeDetector(Attribution):
    """Norm of the image's Sobel gradient, summed over channels; the border is replicated.

    A baseline: an attribution that localises no better may show the image, not the model.

    Source: Adebayo et al., NeurIPS 2018, section 5, who compare maps with an edge detector.
    """

    sees_model = False

    def maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        across = torch.tensor(SOBEL).to(images)
        kernels = torch.stack([across, across.T])[:, None]
        height, width = images.shape[2:]
        single = pad(images.reshape(-1, 1, height, width), (1, 1, 1, 1), mode="replicate")
        return conv2d(single, kernels).norm(dim=1).view(images.shape).sum(dim=1)


RELATIVE_SIGMA = 0.25


class CentreGaussian(Attribution):
    """exp(−d²/2), d the distance from the image's centre in units of a quarter of its height and width.

    A baseline: objects are often in the centre. The centre bias of gaze studies (Judd et al., MIT-CSAIL technical
    report 2012-001).
    """

    sees_model = False

    def maps(self, model: Classifier, images: Images, targets: Labels) -> Maps:
        rows, columns = (
            torch.exp(-0.5 * ((torch.arange(side).to(images) - (side - 1) / 2) / (RELATIVE_SIGMA * side)) ** 2)
            for side in images.shape[2:]
        )
        return (rows[:, None] * columns).repeat(len(images), 1, 1)
