"""Brings the tables of a database up to date, by Alembic. A database of a newer version is left as it is."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy as sa
from alembic.command import upgrade
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from core.errors import LabelsUnavailable

_FOLDER = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = threading.Lock()  # Alembic's context is a global of its module


def bring_up_to_date(engine: sa.Engine, write: Callable[[], AbstractContextManager[sa.Connection]], where: str) -> None:
    """Run the migrations that are missing, all in one transaction of `write`, under its lock. LabelsUnavailable."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))  # % is configparser's own
    scripts = ScriptDirectory.from_config(config)
    found = revision(engine)
    if found == scripts.get_current_head():
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise LabelsUnavailable(
            f"{where} was written by a newer version of this program (tables {found[:20]}). Update the program, or "
            "give another database with DATABASE_URL. Nothing in it was changed."
        )
    with _ONE_AT_A_TIME, write() as connection:
        config.attributes["connection"] = connection
        upgrade(config, "head")


def revision(engine: sa.Engine) -> str | None:
    """The revision of a database's tables; None where there are none."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
