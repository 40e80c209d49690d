"""The search spaces: what a sweep varies. Each is a function in a file of its own that returns a Space.

The first line of its docstring begins with the number of trials; `--list-spaces` prints it.
"""

from collections.abc import Callable

from records import Primary as Primary
from search_spaces.attributions import attributions as attributions
from search_spaces.controls import controls as controls
from search_spaces.laptop import laptop as laptop
from search_spaces.methods import methods as methods
from search_spaces.own_data import own_data as own_data
from search_spaces.paper_search import paper_search as paper_search
from search_spaces.paper_seeds import paper_seeds as paper_seeds
from search_spaces.resnet18 import resnet18 as resnet18
from search_spaces.smoke import smoke as smoke
from search_spaces.space import Search as Search
from search_spaces.space import Settings as Settings
from search_spaces.space import Space as Space
from search_spaces.space import Tuned as Tuned
from search_spaces.waterbirds import waterbirds as waterbirds
from search_spaces.xray_densenet import xray_densenet as xray_densenet
from trainables.core.registry import Named

_BUILT_IN: dict[str, Callable[[], Space]] = {
    "attributions": attributions,
    "controls": controls,
    "laptop": laptop,
    "methods": methods,
    "own_data": own_data,
    "paper_search": paper_search,
    "paper_seeds": paper_seeds,
    "resnet18": resnet18,
    "smoke": smoke,
    "waterbirds": waterbirds,
    "xray_densenet": xray_densenet,
}
SPACES = Named("spaces", _BUILT_IN)
