"""rsna_view: pneumonia in chest X-rays of one set, confounded by the view."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import Field

from trainables.datasets.own.table import Box, Row
from trainables.datasets.xray.xray import SIDE, Xray, XrayOptions, published_rows

HEALTHY, SICK = "no pneumonia", "pneumonia"


class RSNAViewOptions(XrayOptions):
    class_names: str = Field(f"{HEALTHY},{SICK}", description="labels from class 0 on")
    cue_groups: str = Field(f"PA={HEALTHY},AP={SICK}", description="label that each view goes with in training")


class RSNAView(Xray):
    """Chest X-rays of the RSNA Pneumonia Detection Challenge in PA and AP view (the group), with experts' boxes.

    In training PA goes with no pneumonia and AP with pneumonia; severity 0.8 is the paper's ratio 0.9. The boxes are
    the region of interest; images without pneumonia have none.

    According to RSNA every image is of another patient. Its images are NIH's, where a patient has several, but the
    published tables do not say which.

    Source: Viviano et al., ICLR 2021; Shih et al., Radiology: Artificial Intelligence 2019.
    """

    Options = RSNAViewOptions
    options: RSNAViewOptions
    needs = "stage_2_train_images/*.dcm, or their JPEG or PNG versions; see docs/xray.md"

    @classmethod
    def candidates(cls, options: Any) -> Sequence[Row]:
        return _candidates()

    @classmethod
    def folders(cls) -> Mapping[str, Sequence[str]]:
        return dict.fromkeys(("PA", "AP"), ("", "stage_2_train_images", "images"))


@cache
def _candidates() -> tuple[Row, ...]:
    """RSNA's training images by name, with the view that their DICOM headers have."""
    headers = published_rows("kaggle_stage_2_train_images_dicom_headers.csv.gz", ["PatientID", "ViewPosition"])
    views = {patient: view for _, patient, view in headers}
    first: dict[str, tuple[str, int]] = {}
    boxes: dict[str, list[Box]] = {}
    columns = ["patientId", "x", "y", "width", "height", "Target"]
    for where, patient, *box, target in published_rows("kaggle_stage_2_train_labels.csv.zip", columns):
        first.setdefault(patient, (where, target))
        if target:
            boxes.setdefault(patient, []).append(Box(*map(float, box)))
    return tuple(
        Row(
            where=where,
            image=patient,
            label=SICK if target else HEALTHY,
            boxes=tuple(boxes.get(patient, ())),
            boxes_side=SIDE,
            group=views[patient],
            subject=patient,
        )
        for patient, (where, target) in sorted(first.items())
        if views[patient] in ("PA", "AP")
    )
