"""xray_site: cardiomegaly in chest X-rays of two hospitals, confounded by the hospital."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from trainables.core.departure import Departure
from trainables.datasets.own.table import Row
from trainables.datasets.xray.metadata import SIDE, Entry, nih, padchest
from trainables.datasets.xray.xray import DEPARTURES, Xray, XrayOptions

HEALTHY, SICK = "no finding", "cardiomegaly"
ELLIPSE = 2.5
"""The region of interest has the radii height / 2.5 and width / 2.5: 50.3 % of the image."""


class XraySiteOptions(XrayOptions):
    class_names: str = Field(f"{HEALTHY},{SICK}", description="labels from class 0 on")
    cue_groups: str = Field(f"NIH={HEALTHY},PadChest={SICK}", description="label that each site goes with in training")
    roi: Literal["ellipse", "boxes"] = Field(
        "ellipse", description="ellipse: the paper's, on every image; boxes: NIH's experts', on the few that have one"
    )
    label_match: Literal["exact", "substring"] = Field(
        "exact",
        description="exact: the finding by its name, a normal image by no other label; substring: any label that "
        "contains the word, as in the paper",
    )
    nih_views: Literal["all", "PA"] = Field("all", description="all: PA and AP as in the paper; PadChest is PA alone")


class XraySite(Xray):
    """Chest X-rays of NIH (group NIH) and PadChest (group PadChest): cardiomegaly against no finding.

    In training NIH goes with no finding and PadChest with cardiomegaly; severity 0.8 is the paper's ratio 0.9. The
    region of interest is a centred ellipse, the same in every image; the place of the cue in an image is not known.

    Source: Viviano et al., ICLR 2021; Wang et al., CVPR 2017 (NIH); Bustos et al., 2019 (PadChest).
    """

    Options = XraySiteOptions
    options: XraySiteOptions
    departures = (
        *DEPARTURES,
        Departure(
            "a label that contains the word matches, so that PadChest's 'abnormal foreign body' is normal",
            "labels match by name, and a normal image has no other label",
            "`label_match=substring`",
        ),
        Departure(
            "models are trained at 128 x 128 and scored at 224 x 224 pixels, both from versions of 224 x 224",
            "one size, 128 x 128 by default, from the files in root",
            "none for two sizes; `image_size=224` trains and scores at 224 x 224",
        ),
        Departure(
            "the centre of the ellipse is half a pixel below and to the right of the image's",
            "it is the image's, so that the mask is symmetric; 0.9 % of its pixels differ at 128 x 128",
            "none",
        ),
        Departure(
            "PadChest's PA images are those with a posteroanterior view in their DICOM header",
            "those with the projection PA, without children and damaged files, as torchxrayvision selects them",
            "none",
        ),
    )
    needs = "NIH/ and PadChest/, the PNG files of both; see docs/xray.md"

    @classmethod
    def candidates(cls, options: Any) -> Sequence[Row]:
        return _candidates(options.label_match, options.nih_views, options.roi)

    @classmethod
    def folders(cls) -> Mapping[str, Sequence[str]]:
        return {
            "NIH": ("NIH", "NIH/images", *(f"NIH/images_{i:03}/images" for i in range(1, 13))),
            "PadChest": ("PadChest", "PadChest/images", *(f"PadChest/{i}" for i in range(55))),
        }


@lru_cache(maxsize=4)
def _candidates(match: str, nih_views: str, roi: str) -> tuple[Row, ...]:
    at_nih = (entry for entry in nih() if nih_views == "all" or entry.view == nih_views)
    at_padchest = (entry for entry in padchest() if entry.view == "PA")
    return (
        *_rows("NIH", at_nih, ("Cardiomegaly", "No Finding"), match, roi),
        *_rows("PadChest", at_padchest, ("cardiomegaly", "normal"), match, roi),
    )


def _rows(group: str, entries: Iterable[Entry], names: tuple[str, str], match: str, roi: str) -> Iterator[Row]:
    for entry in entries:
        label = labelled(entry.findings, names, match)
        if label is not None:
            yield Row(
                where=entry.where,
                image=entry.stem,
                label=label,
                boxes=entry.boxes if roi == "boxes" else (),
                boxes_side=SIDE,
                ellipse=ELLIPSE if roi == "ellipse" else None,
                group=group,
                subject=entry.patient,
            )


def labelled(findings: Sequence[str], names: tuple[str, str], match: str) -> str | None:
    """The label of an image with these findings; None if it belongs to neither class.

    Args:
        findings: as the hospital lists them.
        names: the hospital's terms for cardiomegaly and for a normal image.
        match: "exact": has the first, or nothing but the second; "substring": some finding contains the word.
    """
    sick, healthy = names
    if match == "substring":
        text = "|".join(findings)
        return SICK if sick in text else HEALTHY if healthy in text else None
    if sick in findings and healthy not in findings:
        return SICK
    return HEALTHY if set(findings) == {healthy} else None
