"""Group DRO: the algorithm by hand, which groups have weight, and that the worst group gains by it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp


def numpy_losses(model, batch):
    logits = batch.images.flatten(1).numpy() @ model.head.weight.detach().numpy().T
    labels = batch.labels.numpy()
    return logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]


def by_hand(q, losses, groups, eta):
    """Algorithm 1 of the paper for one batch: q, and the loss whose gradient is taken."""
    q = dict(q)
    means = {g: losses[groups == g].mean() for g in sorted(set(groups))}
    for group, mean in means.items():
        q[group] *= np.exp(eta * mean)
    total = sum(q.values())
    q = {g: w / total for g, w in q.items()}
    return q, sum(q[g] * mean for g, mean in means.items())


@pytest.mark.parametrize("classes", [2, 3])
def test_three_batches_are_those_of_the_papers_algorithm(linear_net, make_batch, new_method, classes):
    model = linear_net(classes=classes)
    method = new_method("group_dro", group_dro_step=0.7)
    q = dict.fromkeys(range(classes**2), 1.0)
    for seed in range(3):
        batch = make_batch(n=3 * classes**2, classes=classes, seed=seed)
        groups = classes * batch.labels.numpy() + batch.cues.numpy()
        assert set(groups) == set(q)
        q, expected = by_hand(q, numpy_losses(model, batch), groups, 0.7)
        loss = method.loss(model, batch)
        np.testing.assert_allclose(loss.classification.item(), expected, rtol=1e-12)
        assert loss.penalty.item() == 0
    np.testing.assert_allclose(method.log_weights.softmax(dim=0).numpy(), [q[g] for g in sorted(q)], rtol=1e-12)


def test_unseen_groups_have_no_weight_and_absent_ones_keep_theirs(linear_net, make_batch, new_method):
    model, method = linear_net(), new_method("group_dro", group_dro_step=0.5)
    batch = make_batch(n=8)
    both = replace(batch, cues=batch.labels)  # severity 1: groups 0 and 3
    zero = batch.labels == 0
    selected = {name: getattr(both, name)[zero] for name in ("images", "labels", "masks", "cues")}
    one = replace(both, **selected)
    q, _ = by_hand({0: 1.0, 3: 1.0}, numpy_losses(model, both), 3 * both.labels.numpy(), 0.5)
    q, expected = by_hand(q, numpy_losses(model, one), np.zeros(4, dtype=int), 0.5)
    method.loss(model, both)
    np.testing.assert_allclose(method.loss(model, one).classification.item(), expected, rtol=1e-12)
    np.testing.assert_allclose(method.log_weights.softmax(dim=0).numpy(), [q[0], 0, 0, q[3]], rtol=1e-12)


def test_a_batch_without_cues_is_refused(linear_net, make_batch, new_method):
    with pytest.raises(ValueError, match=r"needs batch\.cues, got None"):
        new_method("group_dro").loss(linear_net(), replace(make_batch(), cues=None))
