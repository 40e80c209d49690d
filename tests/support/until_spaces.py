"""Space files for sweeps that run until they are answered."""

from pathlib import Path

SPACE = '''
"""{name}: for tests."""

from search_spaces.space import Space, factorial


def {name}():
    """For tests."""
    trials = factorial(
        seeds=range({seeds}),
        datasets=("synthetic",),
        severities=(0.8, 1.0),
        strengths={{"baseline": (0.0,), "masked": (0.0,)}},
        lr=(1e-3, 3e-3),
        epochs=(1,),
        n_train=(64,),
        n_valid=(32,),
        n_test=(64,),
        attribution_images=(8,),
        integrated_gradients_steps=(4,),
        attributions=(("integrated_gradients",),),
    )
    return Space("{name}", "for tests", trials, comparisons={comparisons})
'''
PER_SEED = 8
"""Trials of a data seed."""


def write_space(folder: Path, name: str, seeds: int, comparisons: tuple[str, ...]) -> str:
    """Write a space of two methods, two severities and two learning rates, and return its file."""
    file = folder / f"{name}.py"
    file.write_text(SPACE.format(name=name, seeds=seeds, comparisons=comparisons))
    return str(file)
