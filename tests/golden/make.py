"""``python -m tests.golden.make``: write today's bundle beside the old ones; what is there is never overwritten.

A bundle once committed is kept as it is: ``tests/unit/ledger/test_golden_bundles.py`` holds every Slipway to verify it.
"""

import sys
from pathlib import Path

from slipway.ledger.bundle import pack
from tests.simulators.chain import TRUST, chain, signed

FOLDER = Path(__file__).parent / "bundles"


def make(name: str) -> None:
    for path, content in (
        (FOLDER / f"{name}.json", pack(signed(chain()))),
        (FOLDER / f"{name}.trust.json", TRUST.dumps()),
    ):
        with path.open("xb") as file:
            file.write(content)


if __name__ == "__main__":
    make(sys.argv[1])
