"""SIGKILL under write load: what was acknowledged is there, nothing is half there, fsck is clean.

``make bench-lake-kill`` does this a hundred times.
"""

from __future__ import annotations

import random
from pathlib import Path

from tests.bench.lake_kill import rounds


def test_what_was_acknowledged_survives_kills_under_load(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    tally = rounds(tmp_path, 3, seed, print)
    assert tally.lost == []
    assert tally.findings == []
    assert tally.acknowledged["objects"] > 0
