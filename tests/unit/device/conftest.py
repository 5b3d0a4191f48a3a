from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.signed_repository import SignedRepository, served
from tests.unit.device.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    repository = SignedRepository(tmp_path / "served")
    with served(repository.folder) as server:
        yield World(tmp_path, repository, server)
