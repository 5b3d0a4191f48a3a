"""What an operator does: backfill by command line, leave it to the schedule, add a pipeline."""

import time


def wait_until(what, seconds: float, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(2)
    raise AssertionError(f"{what} within {seconds} s")


def test_the_command_line_backfills_a_fortnight(demo, project):
    dates = ["--from-date", "2013-02-01", "--to-date", "2013-02-14"]
    project.run(str(project.root / "var/bin/airflow"), "backfill", "create", "--dag-id", "flight_delay.ingest", *dates)
    airflow = project.airflow()
    expected = {f"2013-02-{day:02d}" for day in range(1, 15)}

    def published():
        runs = {run.partition: run.state for run in airflow.runs("flight_delay.ingest") if run.partition in expected}
        assert "failed" not in runs.values(), runs
        return set(runs) == expected and set(runs.values()) == {"success"}

    wait_until("14 days of February succeed", 300, published)


def test_a_second_pipeline_goes_all_the_way_without_dag_code(project):
    project.slipway("demo", "--pipeline", "digit_reader", timeout=600)
    report = project.report()
    assert report["model"]["name"] == "digit_reader"
    assert report["model"]["metrics"]["accuracy"] > 0.9
    assert report["release"]["devices_on_new_version"] == report["release"]["devices"] == 20


def test_the_schedule_makes_a_run_by_itself(project):
    airflow = project.airflow()
    airflow.unpause("digit_reader.ingest")

    def scheduled():
        runs = airflow.runs("digit_reader.ingest")
        return [run for run in runs if run.run_id.startswith("scheduled__") and run.state == "success"]

    wait_until("a scheduled run succeeds", 180, scheduled)
