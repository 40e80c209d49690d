"""A picture of a trial's attribution maps that people can look at."""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from records.columns import SCORED_SPLITS


def saliency_panel(arrays: Mapping[str, np.ndarray], attributions: Sequence[str], title: str) -> bytes:
    """PNG bytes: a row for each image and test split, a column for the image and for each attribution.

    The mask is outlined in green, the distractor in orange; maps show their highest half of pixels over the image.

    Args:
        arrays: as in `Localised.arrays`.
        attributions: their names, in column order.
        title: one line above the panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(split, i) for i in range(min(2, len(arrays["labels"]))) for split in SCORED_SPLITS]
    columns = ["image", *attributions]
    figure = Figure(figsize=(1.7 * len(columns), 1.6 * max(1, len(rows)) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(max(1, len(rows)), len(columns), squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for row, (split, i) in zip(axes, rows, strict=False):
        grey = arrays[f"{split}.images"][i].astype(np.float32).mean(axis=0)
        row[0].set_ylabel(f"{split}\nclass {arrays['labels'][i]}", fontsize=7)
        for axis, column in zip(row, columns, strict=True):
            axis.imshow(grey, cmap="gray", vmin=0, vmax=1)
            for kind, colour in (("masks", "#009E73"), ("distractors", "#E69F00")):
                outline = arrays[f"{split}.{kind}"][i]
                if outline.any():
                    axis.contour(outline, levels=[0.5], colors=colour, linewidths=0.8)
            if column != "image":
                values = arrays[f"{split}.map.{column}"][i].astype(np.float32)
                shown = np.ma.masked_where((values <= np.median(values)) | (values <= 0), values)
                axis.imshow(shown, cmap="magma", alpha=0.75)
            if axis in axes[0]:
                axis.set_title(column.replace("_", " "), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
