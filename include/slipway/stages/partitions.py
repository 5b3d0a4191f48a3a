"""Which days a model learns from, and which later ones it is judged on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slipway.errors import DataError


def choose_partitions(available: list[str], *, holdout: int, most: int, least: int) -> tuple[list[str], list[str]]:
    """Split days into those learned from and the later ones held out, newest ``most`` days in all.

    Raises:
        DataError: there are fewer than ``least`` days, or none is left to learn from.
    """
    days = sorted(set(available))[-most:]
    if len(days) < max(least, holdout + 1):
        raise DataError(
            f"expected at least {max(least, holdout + 1)} partitions of features, got {len(days)}"
            f"{': ' + days[0] + ' to ' + days[-1] if days else ''}; backfill more days, then trigger the run again"
        )
    return days[:-holdout], days[-holdout:]


def without_replays(
    partitions: list[str], holdout: list[str], raw: Mapping[str, Sequence[tuple[str, str]]]
) -> list[str]:
    """Leave out the days whose raw data is that of a held-out day: a replayed feed serves a day of every year alike.

    ``raw`` is day -> (object path, checksum). Evaluating on rows that were learned from would flatter the model.

    Raises:
        DataError: nothing is left to learn from.
    """
    held_out = {_content(raw.get(day, ())) for day in holdout} - {()}
    kept = [day for day in partitions if _content(raw.get(day, ())) not in held_out]
    if not kept:
        raise DataError(
            f"every partition to learn from holds the same raw data as a held-out one ({holdout}); ingest others"
        )
    return kept


def _content(objects: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted(checksum for _, checksum in objects))
