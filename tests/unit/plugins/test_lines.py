from typing import Any

from slipway_airflow.lines import lines_under_way


class Airflow:
    """Counts DAG runs as Airflow does for a task."""

    def __init__(self, runs: dict[str, list[str]]) -> None:
        self.runs = runs

    def get_dr_count(self, *, dag_id: str, states: list[str]) -> int:
        return sum(state in states for state in self.runs.get(dag_id, ()))


def under_way(runs: dict[str, list[str]]) -> tuple[str, ...]:
    context: Any = {"ti": Airflow(runs)}
    return lines_under_way(context, "shop")


def test_a_line_is_under_way_while_a_run_is_queued_or_running():
    assert under_way({"shop.ingest": ["success", "queued"], "shop.train": ["failed"]}) == ("ingest",)
    assert under_way({"shop.ingest": ["success"], "shop.train": ["running"]}) == ("train",)
    assert under_way({"shop.reproduce": ["running"]}) == ("reproduce",)


def test_ended_runs_and_those_of_other_pipelines_and_lines_do_not_count():
    assert (
        under_way({"shop.ingest": ["success", "failed"], "other.ingest": ["running"], "shop.release": ["running"]})
        == ()
    )
