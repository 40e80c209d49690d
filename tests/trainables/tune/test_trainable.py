"""Each method's trainable, as an attribute of the package."""

import cloudpickle
import pytest

import trainables
from trainables import METHODS, TRAINABLES


@pytest.mark.parametrize("method", sorted(METHODS.builtin))
def test_each_is_named_as_the_methods_class_and_pickled_by_that_name(method):
    name = METHODS[method].__name__
    trainable = getattr(trainables, name)
    assert trainable is TRAINABLES[method]
    assert trainable.method == method
    assert cloudpickle.loads(cloudpickle.dumps(trainable)) is trainable
    assert name in dir(trainables)


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'trainables' has no attribute 'Nothing'"):
        trainables.Nothing  # noqa: B018
