"""The decisions of a staged release, as pure functions: who is in a cohort, and what the verdicts mean."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from slipway.errors import ReleaseError
from slipway.release.evidence import Verdict

BUCKETS = 10_000
SALTS = 1_000
"""How many salts are looked at for one that keeps silent devices out of the early phases."""

Action = Literal["continue", "wait", "roll_back"]


@dataclass(frozen=True)
class Decision:
    """What to do with a phase now, why, and the verdicts it rests on."""

    action: Action
    reason: str
    verdicts: tuple[Verdict, ...] = ()


def release_id(pipeline: str, version: str, run: str) -> str:
    """The release's key, the same for every retry of one run: ``<pipeline>-v<version>-<8 hex of the run's id>``."""
    return f"{pipeline}-v{version}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def cohort_bucket(salt: str, device_id: str) -> int:
    """The device's place in 0..9999 under this salt. Devices compute the same; both sides must agree for ever."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{device_id}".encode()).digest()[:8], "big") % BUCKETS


def in_cohort(salt: str, device_id: str, percent: int) -> bool:
    """Whether the device takes part in a phase of ``percent`` (0..100). A higher percent only adds devices."""
    return cohort_bucket(salt, device_id) < percent * 100


def cohort(salt: str, device_ids: Iterable[str], percent: int) -> tuple[str, ...]:
    """The devices that take part, sorted."""
    return tuple(sorted(device for device in device_ids if in_cohort(salt, device, percent)))


def choose_salt(
    release: str, device_ids: Sequence[str], percent: int, *, silent: Collection[str] = (), early_percent: int = 0
) -> str:
    """The first of ``release:0``, ``release:1``, … whose first-phase cohort is large enough.

    Large enough is ``ceil(percent/100 * devices)``, so 5% of 20 devices is one device. Hashing alone leaves the first
    phase of a small fleet empty quite often (36% of salts for 5% of 20), and an empty cohort can never pass.
    With no devices there is nothing to choose and the first salt is returned.

    The first salts must also keep the ``silent`` devices out of a phase of ``early_percent``: phases before the last
    are for watching a few devices, and one that is off shows nothing. With too many of them no salt does, and any is
    taken that is large enough.

    Raises ReleaseError when ``percent`` is outside 1..100.
    """
    if not 1 <= percent <= 100:
        raise ReleaseError(f"a phase's percent must be 1..100, got {percent}; correct release.phases of the pipeline")
    needed = -(-len(device_ids) * percent // 100)
    for attempt in itertools.count():
        salt = f"{release}:{attempt}"
        if attempt < SALTS and any(in_cohort(salt, device, early_percent) for device in silent):
            continue
        if sum(in_cohort(salt, device, percent) for device in device_ids) >= needed:
            return salt
    raise AssertionError("unreachable: count() does not end")


def decide(verdicts: Sequence[Verdict], waited_seconds: float, observe_seconds: float) -> Decision:
    """Continue, wait or roll back.

    Any ``fail`` rolls back at once. Only when every gate says ``pass`` does the release continue. Anything else waits
    for evidence until ``observe_seconds`` are over, and then rolls back naming what was missing: what nobody saw
    working is not spread further.
    """
    judged = tuple(verdicts)
    if failed := [verdict for verdict in judged if verdict.outcome == "fail"]:
        return Decision("roll_back", "; ".join(_explain(verdict) for verdict in failed), judged)
    open_gates = [verdict for verdict in judged if verdict.outcome != "pass"]
    if judged and not open_gates:
        return Decision("continue", f"all {len(judged)} gates passed", judged)
    missing = "; ".join(dict.fromkeys(f"{v.gate} {v.outcome}: {v.reason}" for v in open_gates)) or "no gate was judged"
    if waited_seconds < observe_seconds:
        return Decision("wait", missing, judged)
    return Decision("roll_back", f"not enough evidence after {waited_seconds:.0f} s: {missing}", judged)


def _explain(verdict: Verdict) -> str:
    observed = "nothing" if verdict.observed is None else f"{verdict.observed:.4g}"
    return f"{verdict.gate} failed: {verdict.reason} (observed {observed}, bound {verdict.bound:g})"
