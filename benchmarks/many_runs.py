"""An MLflow database with as many runs as wanted, made by copying one run's rows inside the database.

MLflow itself takes about a tenth of a second for a run; this takes milliseconds. The rows are those that MLflow wrote
for the one run, with other run ids and trial keys.
"""

from typing import Any
from uuid import uuid4

import sqlalchemy as sa

AT_ONCE = 10_000
"""Runs copied in one transaction."""


def copy_run(uri: str, run_id: str, copies: int) -> None:
    """`copies` more runs like the run `run_id`, each with a trial key of its own, in the database at `uri`."""
    engine = sa.create_engine(uri)
    tables = sa.MetaData()
    tables.reflect(engine, only=("runs", "tags", "params", "metrics", "latest_metrics"))
    new = sa.Table(
        "copied_runs",
        sa.MetaData(),
        sa.Column("run_uuid", sa.String(32)),
        sa.Column("trial_key", sa.String(16)),
        prefixes=["TEMPORARY"],
    )
    with engine.connect() as connection:
        new.create(connection)
        for start in range(0, copies, AT_ONCE):
            connection.execute(new.delete())
            ids = [uuid4().hex for _ in range(min(AT_ONCE, copies - start))]
            connection.execute(new.insert(), [{"run_uuid": i, "trial_key": i[:16]} for i in ids])
            for table in tables.sorted_tables:
                if "run_uuid" in table.c:
                    _copy_rows(connection, table, new, run_id)
            connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Databases count rows to choose how to look for them; a server does this by itself now and then.
        connection.execute(sa.text("ANALYZE"))
    engine.dispose()


def _copy_rows(connection: sa.Connection, table: sa.Table, new: sa.Table, run_id: str) -> None:
    """The rows that `table` has of the run `run_id`, once more for each run in `new`."""
    values: dict[str, Any] = {column.name: column for column in table.c}
    values["run_uuid"] = new.c.run_uuid
    if table.name == "tags":
        values["value"] = sa.case((table.c.key == "trial_key", new.c.trial_key), else_=table.c.value)
    rows = sa.select(*values.values()).select_from(table.join(new, sa.true())).where(table.c.run_uuid == run_id)
    connection.execute(table.insert().from_select(list(values), rows))
