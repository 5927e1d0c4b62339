"""Databases of labels: each test that asks for one runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.labels.database import Labels
from tests import postgres


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server; its tests are skipped, with the reason, where there can be none."""
    with postgres.server(tmp_path_factory.mktemp("postgres") / "server") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def labels_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'labels.sqlite'}"
    return postgres.fresh(request.getfixturevalue("postgres_server"))


@pytest.fixture
def labels(labels_url: str) -> Iterator[Labels]:
    made = Labels(labels_url)
    yield made
    made.close()
