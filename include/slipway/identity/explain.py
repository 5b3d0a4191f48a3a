"""Why two fingerprints differ, in the words of the people who changed something."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slipway.identity.canonical import canonical_json, read_number
from slipway.identity.fingerprint import Ingredients

Kind = Literal["stage", "pipeline", "parameter", "seed", "module", "package", "environment", "hardware", "input"]
_SHORT = 60
"""Characters of a value that are shown."""
_FEW = 4
"""Elements of a list that are shown."""
_HEX = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[\w./:@+-]+")


@dataclass(frozen=True)
class Difference:
    """One ingredient that is not the same; ``str`` of it is a line for people, without a full stop."""

    kind: Kind
    name: str
    """Of a parameter its dotted path, of a module its path, of an input or package its name; else empty."""
    before: str | None
    after: str | None
    """Canonical JSON of a parameter, a digest of a module or input, plain text else; ``None`` where there is none."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.name, self._change())))

    def _change(self) -> str:
        if self.kind == "environment":
            return _environment(str(self.before), str(self.after))
        if self.kind in ("stage", "pipeline", "hardware", "seed"):
            return f"{self.before or 'none'} → {self.after or 'none'}"
        show = _SHOWN.get(self.kind, _digest)
        if self.before is None or self.after is None:
            came = self.before is None
            of = "" if self.kind == "module" else f" ({show(str(self.after if came else self.before))})"
            return f"{'added' if came else 'removed'}{of}"
        if self.kind == "module":
            return "changed"
        if self.kind == "input":
            return f"changed ({show(self.before)} → {show(self.after)})"
        if self.kind == "parameter" and self.before[0] == self.after[0] == "[":
            return _elements(_parse(self.before), _parse(self.after))
        return _arrow(show(self.before), show(self.after))


def differences(before: Ingredients, after: Ingredients) -> tuple[Difference, ...]:
    """Everything that differs, the most telling first; empty exactly when the fingerprints are equal."""
    return tuple(_differences(before, after))


def explain(found: Sequence[Difference], *, most: int = 5) -> str:
    """The differences in one line: ``most`` of them in full, the others counted by kind."""
    rest = Counter(difference.kind for difference in found[most:])
    counted = [f"{count} more {kind}{'s' if count > 1 else ''}" for kind, count in rest.items()]
    return "; ".join([*map(str, found[:most]), *counted]) or "nothing differs"


def closest(wanted: Ingredients, candidates: Iterable[Ingredients]) -> Ingredients | None:
    """The candidate with the fewest differences, the first of several; ``None`` without candidates."""
    return min(candidates, key=lambda candidate: len(differences(candidate, wanted)), default=None)


def _differences(before: Ingredients, after: Ingredients) -> Iterator[Difference]:
    yield from _text("stage", before.stage, after.stage)
    yield from _text("pipeline", before.pipeline, after.pipeline)
    yield from _parameters("", before.to_dict()["parameters"], after.to_dict()["parameters"])
    yield from _text("seed", _number(before.seed), _number(after.seed))
    yield from _by_name("module", before.code, after.code)
    yield from _by_name("package", before.packages, after.packages)
    yield from _text("environment", before.environment, after.environment)
    yield from _text("hardware", before.hardware, after.hardware)
    yield from _by_name("input", before.inputs, after.inputs)


def _text(kind: Kind, before: str | None, after: str | None) -> Iterator[Difference]:
    if before != after:
        yield Difference(kind, "", before, after)


def _number(seed: int | None) -> str | None:
    return None if seed is None else str(seed)


def _by_name(kind: Kind, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Difference(kind, name, before.get(name), after.get(name))


class _Missing:
    """Stands for a parameter that is not there, since ``None`` is a value."""


_MISSING = _Missing()


def _parameters(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _parameters(_dotted(path, key), before.get(key, _MISSING), after.get(key, _MISSING))
    elif isinstance(before, list) and isinstance(after, list) and _comparable(before, after):
        for place, pair in enumerate(zip(before, after, strict=True)):
            yield from _parameters(f"{path}[{place}]", *pair)
    elif (texts := (_json(before), _json(after)))[0] != texts[1]:
        yield Difference("parameter", path, *texts)


def _comparable(before: list[Any], after: list[Any]) -> bool:
    """Whether elements are compared by their place: objects, as many on both sides."""
    return len(before) == len(after) and any(isinstance(element, dict | list) for element in (*before, *after))


def _json(value: Any) -> str | None:
    return None if value is _MISSING else canonical_json(value).decode()


def _dotted(path: str, key: str) -> str:
    name = key if key and not re.search(r'[.\[\]"\s]', key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{name}" if path else name


def _parse(text: str) -> Any:
    return json.loads(text, parse_int=lambda digits: read_number(int(digits)))


def _value(text: str) -> str:
    """A parameter's value; strings without quotes where nobody could take them for something else."""
    value = _parse(text)
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        return _cut(text)
    try:
        json.loads(value)
    except ValueError:
        return _cut(value)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _digest(text: str) -> str:
    return text.rpartition(":")[2][:8]


def _arrow(before: str, after: str) -> str:
    return f"{before} → {after}" if before != after else f"changed ({before})"


def _environment(before: str, after: str) -> str:
    locks = [bool(_HEX.fullmatch(text)) for text in (before, after)]
    if all(locks):
        return "(requirements.lock) changed"
    return (
        f"{_cut(before)} → {_cut(after)}" if any(locks) else f"(image) changed ({_digest(before)} → {_digest(after)})"
    )


def _elements(before: list[Any], after: list[Any]) -> str:
    old, new = (Counter(str(_json(element)) for element in elements) for elements in (before, after))
    came, gone = list((new - old).elements()), list((old - new).elements())
    if not came and not gone:
        return "in another order"
    if len(came) + len(gone) <= _FEW:
        shown = [", ".join(map(_value, elements)) for elements in (came, gone)]
    else:
        shown = [str(len(elements)) if elements else "" for elements in (came, gone)]
    parts = [f"{text} {word}" for text, word in zip(shown, ("added", "removed"), strict=True) if text]
    size = f" ({len(before)} → {len(after)} elements)" if len(came) + len(gone) > _FEW else ""
    return ", ".join(parts) + size


_SHOWN: Mapping[Kind, Callable[[str], str]] = {"parameter": _value, "package": str}
