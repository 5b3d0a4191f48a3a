"""Hit or miss, and the reason a person reads."""

import pytest

from slipway.errors import DisputedError
from slipway.identity.digest import sha256_bytes
from slipway.stages.reuse import chosen, decide
from tests.simulators.ledger import ingredients, statement

MADE = statement(made_of={})


def there(_statement):
    return None


def test_a_first_making_is_a_miss_and_says_so(ledger):
    reuse = decide(ledger, ingredients(), "2013-01-01", there, across=True)
    assert (reuse.outcome, reuse.reasons) == ("miss", ("no features of shop was made before",))


def test_a_new_subject_is_compared_with_others_only_where_that_tells_something(ledger):
    ledger.record(MADE)
    new = ingredients(parameters={"partition": "2013-01-02", "lr": 0.002})
    assert decide(ledger, new, "2013-01-02", there).reasons == ("nothing was made of 2013-01-02 before",)
    (reason,) = decide(ledger, new, "2013-01-02", there, across=True).reasons
    assert "parameter lr added (0.002)" in reason and "2013-01-02" in reason


def test_the_same_fingerprint_with_its_outputs_there_is_a_hit_and_names_the_run_that_made_it(ledger):
    ledger.record(MADE)
    reuse = decide(ledger, ingredients(), "2013-01-01", there)
    assert reuse.hit and reuse.statement == MADE
    assert str(reuse) == "hit: same fingerprint as shop.ingest run-1, finished 2099-01-01 00:00:01 UTC"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"parameters": {"partition": "2013-01-01", "lr": 0.002}}, "parameter lr added (0.002)"),
        ({"code": {"spark_jobs/job.py": sha256_bytes(b"edited")}}, "module spark_jobs/job.py changed"),
        ({"packages": {"pyspark": "4.4.0"}}, "package pyspark 4.3.0 → 4.4.0"),
        ({"hardware": "aarch64-cpu"}, "hardware x86_64-cpu → aarch64-cpu"),
    ],
)
def test_a_miss_names_what_changed_since_the_closest_statement(ledger, changed, reason):
    ledger.record(MADE)
    reuse = decide(ledger, ingredients(**changed), "2013-01-01", there)
    assert (reuse.outcome, reuse.reasons) == ("miss", (reason,))


def test_outputs_that_are_gone_are_made_again(ledger):
    ledger.record(MADE)
    reuse = decide(ledger, ingredients(), "2013-01-01", lambda _: "features/part-0.parquet")
    assert str(reuse) == "miss: made before, but features/part-0.parquet is not as it was made"


def test_a_disputed_statement_is_never_reused(ledger):
    ledger.record(MADE)
    with pytest.raises(DisputedError):
        ledger.record(statement(made_of={}, outputs={"features/2013-01-01": sha256_bytes(b"other")}))
    assert "different outputs" in str(decide(ledger, ingredients(), "2013-01-01", there))


def test_force_makes_it_again_and_still_says_what_was_there(ledger):
    ledger.record(MADE)
    reuse = decide(ledger, ingredients(), "2013-01-01", there, force=True)
    assert (reuse.outcome, reuse.hit, reuse.statement) == ("force", False, None)
    assert "same fingerprint as shop.ingest run-1" in str(reuse)


def test_a_share_of_hits_is_made_again_and_the_same_ones_on_a_retry(ledger):
    ledger.record(MADE)
    fingerprint = MADE.fingerprint
    drawn = [chosen(fingerprint, f"run-{number}", 0.01) for number in range(20_000)]
    assert 120 < sum(drawn) < 280
    again = f"run-{drawn.index(True)}"
    reuse = decide(ledger, ingredients(), "2013-01-01", there, recheck=0.01, run_id=again)
    assert reuse.outcome == "recheck" and not reuse.hit
    assert reuse == decide(ledger, ingredients(), "2013-01-01", there, recheck=0.01, run_id=again)
    assert not any(chosen(fingerprint, f"run-{number}", 0.0) for number in range(1000))
    assert all(chosen(fingerprint, f"run-{number}", 1.0) for number in range(1000))
