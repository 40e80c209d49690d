"""DFR, deep feature reweighting: the last layer is refitted to validation images with balanced groups. No masks."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import log_softmax

from trainables.core.batch import parts
from trainables.core.config import Options
from trainables.core.errors import DivergedError
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import Split
from trainables.datasets.mapped import Source, batches
from trainables.methods.method import Method
from trainables.models import Classifier

SPLITS = {"valid_id": ("valid_id",), "valid_ood": ("valid_ood",), "valid_both": ("valid_id", "valid_ood")}


class DFROptions(Options):
    dfr_split: Literal["valid_id", "valid_ood", "valid_both"] = Field(
        "valid_id",
        description="images to which the last layer is fitted; valid_ood and valid_both show the shift: oracles",
    )
    dfr_l1: float = Field(
        0.01, gt=0, allow_inf_nan=False, description="weight of the last layer's l1 norm, for standardised features"
    )
    dfr_subsets: int = Field(10, ge=1, description="balanced subsets whose last layers are averaged")


def equal_groups(groups: Int[np.ndarray, " images"], rng: np.random.Generator) -> Int[np.ndarray, " chosen"]:
    """Indices of random images: equally many of every group, as many as the smallest group has."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    size = min(map(len, members))
    return np.concatenate([rng.choice(group, size, replace=False) for group in members])


def sparse_logistic(
    features: Float[np.ndarray, "images features"], labels: Int[np.ndarray, " images"], classes: int, l1: float
) -> tuple[Float[np.ndarray, "classes features"], Float[np.ndarray, " classes"]]:
    """Fit W, b that minimise the mean cross-entropy of softmax(W x + b), in nats, plus l1 · sum |W|.

    W is the difference of two non-negative matrices, so that L-BFGS-B can solve the problem.
    """
    images, size = features.shape
    truth = np.eye(classes)[labels]
    shape = (2, classes, size)

    def loss_and_gradient(point: Float[np.ndarray, " point"]) -> tuple[float, Float[np.ndarray, " point"]]:
        halves, bias = point[:-classes].reshape(shape), point[-classes:]
        log_p = log_softmax(features @ (halves[0] - halves[1]).T + bias, axis=1)
        error = (np.exp(log_p) - truth) / images
        slope = error.T @ features
        gradient = np.concatenate([(slope + l1).ravel(), (l1 - slope).ravel(), error.sum(axis=0)])
        return float(-(log_p * truth).sum() / images + l1 * halves.sum()), gradient

    bounds = [(0.0, None)] * (2 * classes * size) + [(None, None)] * classes
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-10, "gtol": 1e-5}
    start = np.zeros(len(bounds))
    solution = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    halves = solution[:-classes].reshape(shape)
    return halves[0] - halves[1], solution[-classes:]


class DFR(Method):
    """CE(f(x), y); after the last epoch W, b of f = W h(x) + b are refitted: min CE(W h + b, y) + dfr_l1 · sum |W|.

    h is standardised by its mean and deviation on the images of `dfr_split` (`fixed`) or on the training images
    (`paper`); W and b are means over `dfr_subsets` random subsets of `dfr_split` with equally many images of each group
    (label and cue). A reference without masks, for data with known groups: it tests whether the features suffice and
    only the last layer took the shortcut. Training is exactly the baseline's, so that every selection rule scores the
    last epoch's weights; their `valid_id` scores are no longer held out.

    At severity 1 the groups of `valid_id` are the classes, and the fit learns the shortcut again; on `valid_ood` it
    learns the reverse. `valid_both` has every group at any severity, like the source's validation sets. The latter two
    show the shift, which makes the method an oracle.

    Source: Kirichenko, Izmailov & Wilson, ICLR 2023, arXiv:2204.02937 (DFR on validation data), and their program. The
    default `dfr_l1`, 0.01, is their C = 1 for 100 images.
    """

    reads_masks = False
    needs_cues = True
    complete_at_end = True
    paper_revision = 2
    Options = DFROptions
    options: DFROptions

    def end_training(self, model: Classifier, splits: Mapping[str, Split]) -> None:
        chosen = [splits[name] for name in SPLITS[self.options.dfr_split]]
        features = np.concatenate([_features(model, split.images) for split in chosen])
        if not np.isfinite(features).all():
            raise DivergedError("features are not finite, so no last layer can be fitted to them")
        labels = torch.cat([split.labels for split in chosen])
        classes = model.head.out_features
        groups = (labels * classes + torch.cat([split.cues for split in chosen])).numpy()
        scaled_by = _features(model, splits["train"].images) if self.config.preset == "paper" else features
        mean, spread = scaled_by.mean(axis=0), scaled_by.std(axis=0)
        spread[spread == 0] = 1
        rng = numpy_stream("dfr", self.config.seed)
        weights, biases = [], []
        for _ in range(self.options.dfr_subsets):
            index = equal_groups(groups, rng)
            standardised = (features[index] - mean) / spread
            weight, bias = sparse_logistic(standardised, labels.numpy()[index], classes, self.options.dfr_l1)
            weights.append(weight / spread)
            biases.append(bias - weights[-1] @ mean)
        with torch.no_grad():
            model.head.weight.copy_(torch.from_numpy(np.mean(weights, axis=0)))
            model.head.bias.copy_(torch.from_numpy(np.mean(biases, axis=0)))


def _features(model: Classifier, images: Source) -> Float[np.ndarray, "images features"]:
    """h(x) of each image in evaluation mode, in float64."""
    device = model.head.weight.device
    model.eval()
    with torch.no_grad():
        of_parts = batches((images,), parts(len(images), images.shape, device), device)
        features = [model(part).features.double().cpu() for (part,) in of_parts]
    model.train()
    return torch.cat(features).numpy()
