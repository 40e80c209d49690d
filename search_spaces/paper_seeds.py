"""paper_seeds: the ten seeds of the paper's synthetic table, as published and under the preset `fixed`."""

from search_spaces.published import PRESET_SELECTION, SEEDS, SYNTHETIC, SYNTHETIC_DATA, TRAINING
from search_spaces.space import Space


def paper_seeds() -> Space:
    """Seven methods x ten seeds x two presets with the published settings: 140 trials of 110 trainings.

    Preset `paper` with selection best_valid_ood is the published protocol. Preset `fixed`, with selection
    best_valid_id, is the same without the authors' program's quirks. The strengths are the published ones in both; as
    `fixed` takes means where `paper` takes sums, GradMask's and RRR's penalties weigh far less there, and settings of
    its own can be searched for (`paper_search`, then `--from`).
    """
    trials = tuple(
        {
            **SYNTHETIC_DATA,
            **TRAINING,
            **published.settings(),
            "method": method,
            "seed": seed,
            "data_seed": seed,
            "preset": preset,
            "selection": selection,
        }
        for seed in SEEDS
        for method, published in SYNTHETIC.items()
        for preset, selection in PRESET_SELECTION.items()
    )
    return Space("paper_seeds", "the paper's synthetic table: ten seeds, published settings, both presets", trials)
