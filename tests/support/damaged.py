"""Records damaged by a disk, an editor or an attacker, and strange records that are right."""

import json
from collections.abc import Mapping
from typing import Any

HUGE = 10**400

WRONG_VALUES: dict[str, dict[str, Any]] = {
    "status": {"unknown": "done", "null": None, "number": 1, "list": ["completed"]},
    "method": {"null": None, "number": 3, "empty": "", "list": ["rrr"]},
    "dataset": {"null": None, "flag": True},
    "severity": {"null": None, "text": "1.0", "flag": True, "above 1": 1.5, "negative": -0.5, "huge": HUGE},
    "strength": {"null": None, "text": "strong", "negative": -1.0, "object": {"a": 1}},
    "seed": {"null": None, "huge": HUGE, "negative": -1, "fraction": 0.5, "text": "0", "64 bits": 2**63},
    "data_seed": {"null": None, "huge": HUGE},
    "trial_key": {"another": "other", "number": 0, "null": None},
    "schema_version": {"null": None, "text": "1", "zero": 0, "fraction": 1.0},
    "started_at": {"number": 1700000000, "text": "yesterday", "month 13": "2026-13-01T00:00:00+00:00", "list": []},
    "error": {"number": 1, "object": {"type": "ValueError"}},
    "mlflow_run_id": {"number": 5},
    "train_seconds": {"text": "long", "negative": -1.0, "beyond 64 bits": 1e308},
    "test_ood.auc": {"text": "good", "list": [0.5], "flag": True},
    "collapsed": {"text": "no"},
    "hp.lr": {"object": {"a": 1}, "list": [0.1, 0.2], "huge": HUGE},
    "mine": {"nested": [[[]]]},
}
ABSENT = ("status", "method", "dataset", "severity", "strength", "seed", "data_seed", "trial_key", "schema_version")


def damaged(record: Mapping[str, Any]) -> dict[str, bytes]:
    """Damaged forms of a record's file, by what is wrong."""
    text = json.dumps(record)
    files = {
        "empty": "",
        "cut": text[:-20],
        "twice": text + text,
        "null": "null",
        "a list": f"[{text}]",
        "a text": json.dumps(text),
        "not a number": text.replace("{", '{"mine": NaN, ', 1),
        "infinite": text.replace("{", '{"mine": -Infinity, ', 1),
        "overflow": text.replace("{", '{"mine": 1e999, ', 1),
        "5,000 digits": text.replace("{", f'{{"mine": {"1" * 5000}, ', 1),
        "half a surrogate": text.replace("{", '{"mine": "\\ud800", ', 1),
        "100,000 levels": text.replace("{", f'{{"mine": {"[" * 100_000}{"]" * 100_000}, ', 1),
        "100,000 open levels": "[" * 100_000,
        "a column twice": text.replace("{", '{"status": "failed", ', 1),
        "megabytes": json.dumps({**record, "error": "x" * 3_000_000}),
    }
    for name in ABSENT:
        files[f"no {name}"] = json.dumps({k: v for k, v in record.items() if k != name})
    for name, values in WRONG_VALUES.items():
        files |= {f"{name}: {kind}": json.dumps({**record, name: value}) for kind, value in values.items()}
    return {wrong: data.encode() for wrong, data in files.items()} | {"binary": bytes(range(256))}


STRANGE: dict[str, dict[str, Any]] = {
    "no started_at": {"started_at": None},
    "year 1": {"started_at": "0001-01-01T00:00:00+00:00"},
    "whole numbers for fractions": {"severity": 1, "strength": 0, "test_ood.auc": 1},
    "large numbers": {
        "seed": 2**63 - 1,
        "strength": 1e308,
        "test_ood.loss": -1e308,
        "test_ood.n": 2**70,
        "hp.lr": 2**70,
    },
    "text in a measure": {"test_ood.iou.integrated_gradients": "good", "test_ood.n": "many", "model_steps": None},
    "flag in a measure": {"test_ood.iou.integrated_gradients": True, "test_id.iou.integrated_gradients": False},
    "another type than other records": {"hp.lr": "fast", "hp.attributions": 5, "hp.mask_fraction": "half"},
    "a column of a plug-in": {"test_ood.mine.occlusion": 0.5, "": "no name", "a\nb": 1, "x" * 500: "long", "é": True},
    "an empty error": {"status": "failed", "error": ""},
    "a long error": {"status": "failed", "error": "x" * 500_000},
    "an unknown method": {"method": "of a removed plug-in", "dataset": "folder:/nowhere"},
    "few columns": {"model": None, "selection": None, "preset": None, "epochs": None, "hp.searcher": None},
}
"""Changes of a record that leave it right: only columns that programs rely on have a type."""
