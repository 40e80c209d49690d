"""xray_site: cardiomegaly in chest X-rays of two hospitals, confounded by the hospital."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from trainables.datasets.own.table import Box, Row
from trainables.datasets.xray.xray import SIDE, Xray, XrayOptions, published_rows

HEALTHY, SICK = "no finding", "cardiomegaly"
ELLIPSE = 2.5
"""The region of interest has the radii height / 2.5 and width / 2.5: 50.3 % of the image."""
OLDEST_CHILD, READ_IN = 10, 2019
"""PadChest images of people who were 10 or younger in 2019 are excluded, as in torchxrayvision."""
DAMAGED = frozenset(Path(__file__).with_name("padchest_damaged.txt").read_text().split())
"""PadChest images that are missing from the published archive or damaged, as listed by torchxrayvision."""


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
    region of interest is a centred ellipse, the same in every image.

    Source: Viviano et al., ICLR 2021; Wang et al., CVPR 2017 (NIH); Bustos et al., 2019 (PadChest).
    """

    Options = XraySiteOptions
    options: XraySiteOptions
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
    rows = []
    for where, image, findings, patient, group, terms, boxes in (*_nih(nih_views), *_padchest()):
        if label := labelled(findings, terms, match):
            rows.append(
                Row(
                    where=where,
                    image=image.rsplit(".", 1)[0],
                    label=label,
                    boxes=boxes if roi == "boxes" else (),
                    boxes_side=SIDE,
                    ellipse=ELLIPSE if roi == "ellipse" else None,
                    group=group,
                    subject=str(patient),
                )
            )
    return tuple(rows)


def _nih(views: str) -> Iterator[tuple[Any, ...]]:
    """Images of NIH ChestX-ray14 with these views, in the table's order, with the boxes of cardiomegaly."""
    boxes: dict[str, list[Box]] = {}
    columns = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
    for _, image, finding, *box in published_rows("BBox_List_2017.csv.gz", columns):
        if finding == "Cardiomegaly":
            boxes.setdefault(image, []).append(Box(*map(float, box)))
    columns = ["Image Index", "Finding Labels", "Patient ID", "View Position"]
    for where, image, findings, patient, view in published_rows("Data_Entry_2017_v2020.csv.gz", columns):
        if views in ("all", view):
            terms = ("Cardiomegaly", "No Finding")
            yield where, image, findings.split("|"), patient, "NIH", terms, tuple(boxes.get(image, ()))


def _padchest() -> Iterator[tuple[Any, ...]]:
    """PadChest's labelled PA images of adults by name, without those known to be damaged."""
    columns = ["ImageID", "Labels", "PatientID", "Projection", "PatientBirth"]
    table = published_rows("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", columns)
    for where, image, labels, patient, view, born in sorted(table, key=lambda row: row[1].rsplit(".", 1)[0]):
        is_adult = READ_IN - born > OLDEST_CHILD
        if view == "PA" and is_adult and isinstance(labels, str) and image.rsplit(".", 1)[0] not in DAMAGED:
            findings = [label.strip() for label in ast.literal_eval(labels) if label.strip()]
            yield where, image, findings, patient, "PadChest", ("cardiomegaly", "normal"), ()


def labelled(findings: Sequence[str], terms: tuple[str, str], match: str) -> str | None:
    """The label of an image with these findings; None if it belongs to neither class.

    `terms` are the hospital's, for cardiomegaly and for a normal image; `match` as in the option label_match.
    """
    sick, healthy = terms
    if match == "substring":
        text = "|".join(findings)
        return SICK if sick in text else HEALTHY if healthy in text else None
    if sick in findings and healthy not in findings:
        return SICK
    return HEALTHY if set(findings) == {healthy} else None
