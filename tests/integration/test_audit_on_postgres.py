"""Questions about the past on PostgreSQL, with a real gateway: the bench of years, made tiny."""

import json

from tests.bench import ledger as bench
from tests.bench.ledger_history import Size


def test_the_bench_of_years_answers_every_kind_of_question(tmp_path):
    report = bench.measure(Size(releases=6, days=5, devices=7, stretches=2), times=5, folder=tmp_path)
    assert (report["releases"], report["statements"]) == (6, 2 * 5 + 6 * 6)
    assert all(0 < report[f"{kind}_p50_ms"] <= report[f"{kind}_p99_ms"] for kind in ("device", "commit", "model"))
    assert json.loads(json.dumps(report)) == report
