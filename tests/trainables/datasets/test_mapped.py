"""Images on disk give what the same images in memory give."""

import numpy as np
import pytest
import torch

from trainables.core.streams import PROCESSOR
from trainables.datasets.mapped import Mapped, batches, derived, mapped_array, scratch, taken, unit_images


@pytest.fixture(params=[np.uint8, np.uint16])
def stored(request, tmp_path):
    """Numbers of each type on disk [7, 2, 3, 3], among them the least and the greatest, and the same as an array."""
    dtype = request.param
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (7, 2, 3, 3), dtype, endpoint=True)
    values[0, 0, 0, :2] = 0, np.iinfo(dtype).max
    np.save(tmp_path / "stored.npy", values)
    return np.load(tmp_path / "stored.npy", "c"), values


INDICES = [slice(None), slice(2, 5), slice(None, None, 3), [4, 1, 1], torch.tensor([6, 0]), torch.arange(7) > 3, 5, -1]


@pytest.mark.parametrize("index", INDICES)
def test_an_index_gives_what_it_gives_of_a_tensor(stored, index):
    mapped, values = stored
    white = np.float32(np.iinfo(values.dtype).max)
    images = unit_images(mapped_array(mapped))
    expected = torch.from_numpy(values.astype(np.float32) / white)
    assert (images.shape, images.dtype) == (expected.shape, expected.dtype)
    assert torch.equal(images[index], expected[index])
    order = torch.tensor([3, 3, 0, 6, 5, 1, 2])
    assert torch.equal(taken(images, order)[index], expected[order][index])
    # The function sees every source at the same items, whatever their kind.
    weights = torch.arange(7)
    weighted = derived(lambda images, weights: images * weights[:, None, None, None], images, weights)
    assert torch.equal(weighted[index], (expected * weights[:, None, None, None])[index])
    assert len(list(images)) == 7


def test_batches_are_in_order_and_end_early_without_harm(stored):
    images = unit_images(mapped_array(stored[0]))
    labels = torch.arange(7)
    parts = labels.split(2)
    for found in (batches((images, labels), parts, PROCESSOR), batches((images[:], labels), parts, PROCESSOR)):
        several = list(found)
        assert [part.tolist() for _, part in several] == [[0, 1], [2, 3], [4, 5], [6]]
        assert torch.equal(torch.cat([part for part, _ in several]), images[:])
    started = batches((images,), parts, PROCESSOR)
    next(started)
    started.close()
    assert not list(batches((images,), [], PROCESSOR))


def test_what_cannot_be_read_is_raised_where_the_batch_is_used():
    def read(numbers):
        raise OSError("gone")

    images = Mapped(torch.Size((4, 1)), torch.float32, read, lambda read: read)
    with pytest.raises(OSError, match="gone"):
        list(batches((images,), [slice(0, 2)], PROCESSOR))


def test_scratch_is_in_memory_only_beside_tensors(stored, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = unit_images(mapped_array(stored[0]))
    for like in (images, images[:]):
        result = scratch(like)
        assert (result.shape, result.dtype) == (images.shape, images.dtype)
        assert not result.any()
        result[3] = 1
        assert result[3].all()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()], "the file has no name"
