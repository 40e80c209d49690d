"""Parses the JSON files of a sweep. Whatever a damaged file holds, the error is a ValueError of one short line."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, from_json
from pydantic_core import core_schema as schema

from records import columns

LARGEST = 2**20
"""Bytes of a record; those of sweeps have some 10,000."""
REQUIRED = ("trial_key", "status", "dataset", "severity", "method", "strength", "seed", "data_seed")
SHOWN = 60
"""Characters of a wrong entry or value in a message."""


def parse_json(data: bytes) -> Any:
    """Parse strict JSON: no NaN, no broken Unicode, no deep nesting. Python's own parser accepts these."""
    return from_json(data.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False, cache_strings="keys")


def parse_record(data: bytes) -> dict[str, Any]:
    """Parse the file of a record. Its columns are not checked yet: they may be those of an earlier version."""
    if len(data) > LARGEST:
        raise ValueError(f"{len(data):,} bytes are too many for a record: foreign")
    try:
        record = parse_json(data)
    except ValueError:
        raise ValueError(f"not a JSON record ({len(data)} bytes): truncated or foreign") from None
    if not isinstance(record, dict):
        raise ValueError("a JSON record is an object, and this is none: foreign")
    # A fast count first: a sweep's record has one `":` a column, and rarely another in a text.
    if data.count(b'":') != len(record):
        names = Counter(name for name, _ in json.loads(data, object_pairs_hook=list))
        if twice := [name for name, n in names.items() if n > 1]:
            raise ValueError(f"more than one column {_short(repr(twice[0]))}")
    return record


def check_record(record: Mapping[str, Any]) -> None:
    """Raise ValueError if a column has a value of another type; columns that are not in the table may be added."""
    try:
        _RECORD.validate_python(record)
    except ValidationError as error:
        entry, value, message = first_problem(error)
        raise ValueError(f"bad {entry}{value}: {message}" if value else f"no column {entry!r}") from None


def first_problem(error: ValidationError) -> tuple[str, str, str]:
    """The entry that a model refuses first, its value after a space (empty if it is missing), and the reason."""
    problem = error.errors(include_url=False)[0]
    value = "" if problem["type"] == "missing" else f" {_short(repr(problem['input']))}"
    # As in a literal, without the control characters that a terminal would obey.
    entry = repr(".".join(map(str, problem["loc"])))[1:-1]
    return _short(entry), value, problem["msg"].lower()


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _moment(text: str) -> str:
    datetime.fromisoformat(text).timestamp()
    return text


def _validator() -> SchemaValidator:
    """The columns by `columns.COLUMNS`, their numbers in the ranges that a trial allows."""
    text, name, number = schema.str_schema(), schema.str_schema(min_length=1), schema.float_schema()
    seed = schema.int_schema(ge=0, le=2**63 - 1)
    types: dict[str, schema.CoreSchema] = {"text": text, "number": number, "flag": schema.bool_schema()}
    special: dict[str, schema.CoreSchema] = {
        "status": schema.literal_schema([*columns.STATUSES]),
        **dict.fromkeys(("trial_key", "dataset", "method"), name),
        "severity": schema.float_schema(ge=0, le=1),
        "strength": schema.float_schema(ge=0),
        **dict.fromkeys(("seed", "data_seed"), seed),
        "started_at": schema.no_info_after_validator_function(_moment, text),
        # MLflow has the end of a trial in milliseconds, as 64 bits.
        **{c: schema.float_schema(ge=0, le=1e9) for c in columns.with_role("time") if c.endswith("_seconds")},
    }
    fields = {}
    for column in columns.COLUMNS:
        if column.kind in types and "{" not in column.name:
            value, required = special.get(column.name, types[column.kind]), column.name in REQUIRED
            value = value if required else schema.nullable_schema(value)
            fields[column.name] = schema.typed_dict_field(value, required=required)
    other = schema.nullable_schema(
        schema.union_schema(
            [text, number, types["flag"]],
            custom_error_type="column",
            custom_error_message="a column holds a text, a finite number, true, false or null",
        )
    )
    config = schema.CoreConfig(strict=True, allow_inf_nan=False)
    return SchemaValidator(schema.typed_dict_schema(fields, extra_behavior="allow", extras_schema=other, config=config))


_RECORD = _validator()
