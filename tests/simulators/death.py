"""A process that is killed between two effects, as a worker is by the kernel or by its machine."""

from __future__ import annotations

from typing import Any

from tests.simulators.channel import Killed


class Death:
    """Dies once, instead of effect number ``at`` (from 0) of all it watches; afterwards everything works."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.happened = False

    def watch(self, target: Any, *effects: str) -> Any:
        """``target``, whose methods ``effects`` change something that outlives the process."""
        return _Watched(self, target, frozenset(effects))

    def effect(self) -> None:
        if not self.happened and self._left == 0:
            self.happened = True
            raise Killed
        self._left -= 1


class _Watched:
    def __init__(self, death: Death, target: Any, effects: frozenset[str]) -> None:
        self._death = death
        self._target = target
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in self._effects:
            return found

        def dies(*args: Any, **kwargs: Any) -> Any:
            self._death.effect()
            return found(*args, **kwargs)

        return dies


def retried(step: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a step as a scheduler does: again when its worker was killed."""
    try:
        return step(*args, **kwargs)
    except Killed:
        return step(*args, **kwargs)
