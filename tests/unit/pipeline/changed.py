"""A pipeline file of the project with some keys changed."""

from pathlib import Path

import yaml

from slipway.settings import settings

EXAMPLE = settings().pipelines / "flight_delay.yaml"


def written(folder: Path, change: dict[str, object], name: str = "flight_delay") -> Path:
    """Write the example with changes: a key as ``training.seed`` or ``compile.targets.0.pod`` -> its value."""
    raw = yaml.safe_load(EXAMPLE.read_text())
    for key, value in change.items():
        *parents, last = key.split(".")
        place = raw
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[last] = value
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path
