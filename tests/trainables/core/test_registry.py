"""Plug-ins: discovered, imported on use, and refused with their packages named."""

import sys

import cloudpickle
import pytest
import torch
from support.plugin_package import install, write_package

from driver import UserError
from driver.plan.make_plan import make_plan
from records import columns
from trainables import ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS, TRAINABLES, resolve
from trainables.core.errors import ConfigurationError
from trainables.core.registry import Registry, subclass_of
from trainables.methods import Method
from trainables.trial import explain

METHOD = "from trainables.methods import Method\n\n\nclass Own(Method):\n    pass\n"
WITH_OPTIONS = (
    "from trainables.core.config import Options\nfrom trainables.methods import Method\n\n\n"
    "class OwnOptions(Options):\n    {setting}: int = 3\n\n\nclass Own(Method):\n    Options = OwnOptions\n"
)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the module path, like site-packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) == str(tmp_path / f"{module}.py"):
            del sys.modules[module]


def registry(name="methods", check=None) -> Registry:
    return Registry(name, {"built_in": Method}, check or subclass_of(Method))


def test_plug_ins_are_found_if_a_library_replaced_the_look_up(site):
    # MLflow's libraries import it, and it then stands in for Python's importlib.metadata.
    importlib_metadata = pytest.importorskip("importlib_metadata")

    write_package(site, "tools", {"own": "tools:Own"}, METHOD)
    methods = registry()
    assert isinstance(methods._plugins["own"][0], importlib_metadata.EntryPoint)
    assert issubclass(methods["own"], Method)
    assert methods.package("own") == "tools 0.1"


def test_a_plug_in_is_imported_on_look_up(site):
    write_package(site, "tools", {"own": "tools:Own"}, METHOD)
    methods = registry()
    assert list(methods) == ["built_in", "own"]
    assert len(methods) == 2
    assert "own" in methods
    assert "other" not in methods
    assert methods["built_in"] is Method
    assert methods.package("own") == "tools 0.1"
    assert methods.package("built_in") is None
    assert "tools" not in sys.modules
    assert methods["own"] is sys.modules["tools"].Own
    with pytest.raises(KeyError):
        methods["other"]


METRIC = """from trainables.saliency.localisation import energy
from trainables.saliency.localisation.metric import Traits, with_traits


@with_traits(Traits({trait}=True))
def own(maps, masks):
    return energy(maps, masks)
"""


def test_a_metric_of_another_package_keeps_its_traits_or_is_refused(site, monkeypatch):
    write_package(site, "tools", {"own": "tools:own"}, METRIC.format(trait="on_distractor"), "localisation")
    write_package(site, "more", {"worse": "more:own"}, METRIC.format(trait="lower_is_better"), "localisation")
    metrics = Registry("localisation", LOCALISATION.builtin, LOCALISATION._check)
    monkeypatch.setattr(explain, "LOCALISATION", metrics)
    corner = torch.zeros(1, 4, 4, dtype=torch.bool)
    corner[0, 0, 0] = True
    images, labels = torch.zeros(1, 1, 4, 4), torch.ones(1).long()
    scored = explain.Scored(torch.arange(1), images, labels, masks=~corner, distractors=corner)
    assert explain.score_maps("own", corner.float(), scored).item() == 1, "the whole map is on the distractor"
    with pytest.raises(ConfigurationError, match=r"'worse' .* has the trait lower_is_better, .*return 1 - the score"):
        metrics["worse"]


@pytest.mark.parametrize(
    ("entry", "module", "pieces"),
    [
        ({"own": "tools:Other"}, METHOD, ["(tools:Other), cannot be imported: AttributeError", "fix that package"]),
        ({"own": "tool:Own"}, METHOD, ["cannot be imported: ModuleNotFoundError: No module named 'tool'"]),
        ({"own": "tools:Own"}, "1 / 0\n", ["cannot be imported: ZeroDivisionError: division by zero"]),
        ({"own": "tools:Own"}, "class Own:\n    pass\n", ["it must be a subclass of trainables.methods.method.Method"]),
        ({"own": "tools:Own"}, "Own = 3\n", ["is 3; it must be a subclass of"]),
        ({"own": "tools:Own"}, METHOD.replace("pass", "Options = dict"), ["has Options <class 'dict'>", "config.Opt"]),
        ({"own": "tools:Own"}, WITH_OPTIONS.format(setting="lr"), ["has a setting 'lr' in its Options", "rename it"]),
        ({"my own": "tools:Own"}, METHOD, ["'my own' in saliency_sweep.methods", "use letters, digits and _ only"]),
    ],
)
def test_an_unusable_plug_in_is_refused_on_use(site, entry, module, pieces):
    write_package(site, "tools", entry, module)
    methods = registry()
    assert methods["built_in"] is Method
    assert methods.usable() == {"built_in": Method}
    with pytest.raises(ConfigurationError) as caught:
        methods[next(iter(entry))]
    assert all(piece in str(caught.value) for piece in ("from package tools 0.1", *pieces)), caught.value


def test_a_plug_in_cannot_take_a_built_in_name(site):
    write_package(site, "tools", {"built_in": "tools:Own"}, METHOD)
    with pytest.raises(ConfigurationError) as caught:
        registry()["built_in"]
    assert "saliency-sweep (built in) and tools 0.1 (tools:Own) all provide 'built_in'" in str(caught.value)
    assert "uninstall all but one" in str(caught.value)


def test_two_plug_ins_cannot_share_a_name(site):
    write_package(site, "tools", {"own": "tools:Own"}, METHOD)
    write_package(site, "extras", {"own": "extras:Own", "more": "extras:Own"}, METHOD)
    methods = registry()
    with pytest.raises(ConfigurationError, match=r"(extras|tools) 0.1 \(.* and (tools|extras) 0.1 \("):
        methods["own"]
    assert methods["more"].__module__ == "extras"


def forget() -> None:
    for known in (ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS):
        known.__dict__.pop("_plugins", None)
        known._loaded.clear()


@pytest.fixture
def rediscovered(site):
    """Make the project's registries discover plug-ins again."""
    forget()
    yield site
    forget()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def extras(installed, rediscovered, monkeypatch):
    """The package in tests/plugin."""
    monkeypatch.syspath_prepend(str(installed))
    return installed


PARTS = {
    "method": {"method": "erased_outside", "strength": 1},
    "dataset": {"dataset": "bars"},
    "attributions": {"attributions": ("occlusion", "squared_gradient")},
    "metrics": {"metrics": ("iou", "squared_energy")},
}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_the_record_names_the_package(extras, part):
    config = resolve(PARTS[part])
    assert config.columns()[columns.PLUGINS] == "saliency-extras 1.2"
    assert resolve(config.flat()) == config
    others = [config.model_copy(update={"plugins": plugins}) for plugins in ("saliency-extras 1.3", "")]
    assert len({each.trial_key for each in (config, *others)}) == 3, "another version is another trial"


def test_a_trial_without_plug_ins_keeps_its_key(extras):
    config = resolve({"dataset": "decoy_digits"})
    assert config.trial_key == "185170fa0679131b"
    assert columns.PLUGINS not in {**config.flat(), **config.columns()}


@pytest.mark.parametrize(
    ("plugins", "pieces"),
    [
        ("saliency-extras 1.3", ["'saliency-extras 1.3', and ", " has version 1.2; install saliency-extras==1.3 on"]),
        ("saliency-other 2", ["'saliency-other 2', and ", " has none; install saliency-other==2 on every node"]),
        ("odd", ["planned with package 'odd'"]),
    ],
)
def test_a_node_without_the_planned_package_refuses(extras, plugins, pieces):
    settings = resolve(PARTS["method"]).flat() | {"plugins": plugins}
    with pytest.raises(ConfigurationError) as caught:
        resolve(settings)
    assert all(piece in str(caught.value) for piece in pieces), caught.value


def test_a_method_and_a_dataset_with_one_setting_cannot_be_used_together(rediscovered):
    write_package(rediscovered, "tools", {"own": "tools:Own"}, WITH_OPTIONS.format(setting="n_test"))
    with pytest.raises(ConfigurationError, match="'own' and dataset 'synthetic' both have a setting 'n_test'"):
        resolve({"method": "own"})
    resolve({"method": "own", "dataset": "decoy_digits"})


def test_its_trainable_travels_to_other_processes(extras):
    trainable = TRAINABLES["erased_outside"]
    assert trainable.method == "erased_outside"
    assert cloudpickle.loads(cloudpickle.dumps(trainable)).method == "erased_outside"


def test_a_plan_with_a_broken_package_is_refused_in_one_line(rediscovered):
    write_package(rediscovered, "tools", {"own": "tools:Own"}, "1 / 0\n")
    write_package(rediscovered, "data", {"rings": "data:Rings"}, "1 / 0\n", "datasets")
    (rediscovered / "mine.py").write_text(
        "from search_spaces import Space\n\n\ndef mine():\n"
        "    return Space('mine', 'own', [{'dataset': 'synthetic', 'method': 'own', 'seed': 0}])\n"
    )
    mine = str(rediscovered / "mine.py")
    for space, dataset in ((mine, None), (mine, "decoy_digits"), ("smoke", "rings")):
        with pytest.raises(UserError, match="cannot be imported: ZeroDivisionError"):
            make_plan(space, dataset, {}, None)
    with pytest.raises(UserError, match=r"unknown setting 'epoch' in --set; did you mean 'epochs' or 'step_epochs'\?"):
        make_plan("smoke", None, {"epoch": 3}, 1)
