"""Statements as stages would make them, and a strategy for any."""

import datetime as dt
from dataclasses import replace

from hypothesis import strategies as st

from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients
from slipway.ledger.statement import Execution, Statement

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def statement(stage="train", subject="2013-01", *, materials=None, outputs=None, finished=NOON, seed=7, **parameters):
    """A plausible statement; names of materials and outputs are paths."""
    ingredients = Ingredients(
        stage=stage,
        pipeline="flight_delay",
        code={f"include/slipway/stages/{stage}.py": sha256_bytes(stage.encode())},
        parameters={"lr": 0.001, **parameters},
        inputs={"upstream": sha256_bytes(f"{stage} of {subject}".encode())},
        environment=sha256_bytes(b"requirements.lock"),
        hardware="x86_64-cpu",
        seed=seed,
        packages={"torch": "2.13.0"},
    )
    execution = Execution(
        dag_id=f"flight_delay.{stage}",
        run_id="manual__2026-03-01",
        run_url="http://127.0.0.1:8080/dags/flight_delay.train/runs/manual__2026-03-01",
        started=finished - dt.timedelta(minutes=1),
        finished=finished,
        git_commit="a" * 40,
        git_dirty=False,
        machine={"cpu": "AMD EPYC 7B13"},
    )
    return Statement(
        ingredients=ingredients,
        subject=subject,
        outputs=outputs if outputs is not None else {f"{stage}/{subject}": sha256_bytes(f"{stage} {subject}".encode())},
        materials=materials or {},
        execution=execution,
        commits={"main": "flights@" + "c" * 64},
        details={"metrics": {"auc": 0.71}, "rows": 1234},
    )


def at(made: Statement, finished: dt.datetime) -> Statement:
    """The same statement, finished at another time."""
    return replace(made, execution=replace(made.execution, started=finished, finished=finished))


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_filled = _text.filter(bool)
_digest = st.binary(min_size=32, max_size=32).map(bytes.hex)
_commit = st.binary(min_size=20, max_size=20).map(bytes.hex)
_numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | _numbers | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_data = st.dictionaries(_text, json_values, max_size=3)
_words = st.dictionaries(_text, _text, max_size=3)
_times = st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1)).flatmap(
    lambda naive: st.integers(-720, 720).map(
        lambda minutes: naive.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    )
)
_checkouts = st.tuples(st.none(), st.none()) | st.tuples(_commit, st.none() | st.booleans())
_repositories = st.from_regex(r"[a-z0-9][a-z0-9-]{2,20}", fullmatch=True)


@st.composite
def _executions(draw):
    commit, dirty = draw(_checkouts)
    return Execution(
        dag_id=draw(_text),
        run_id=draw(_text),
        run_url=draw(_text),
        started=draw(_times),
        finished=draw(_times),
        git_commit=commit,
        git_dirty=dirty,
        machine=draw(_words),
    )


_statements = st.builds(
    Statement,
    ingredients=st.builds(
        Ingredients,
        stage=_filled,
        pipeline=_filled,
        code=st.dictionaries(_text, _digest, max_size=3),
        parameters=_data,
        inputs=_words,
        environment=_filled,
        hardware=_filled,
        seed=st.none() | st.integers(0, 2**32),
        packages=_words,
    ),
    subject=_text,
    outputs=st.dictionaries(_text, _digest, min_size=1, max_size=3),
    materials=st.dictionaries(_text, _digest, max_size=3),
    execution=_executions(),
    commits=st.dictionaries(_text, st.builds("{}@{}".format, _repositories, _commit), max_size=3),
    details=_data,
)


@st.composite
def _with_some_varying(draw):
    made = draw(_statements)
    return replace(made, varying=tuple(sorted(draw(st.sets(st.sampled_from(sorted(made.outputs)))))))


statements = _with_some_varying()
