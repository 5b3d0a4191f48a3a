"""What an operator does: backfill by command line, leave it to the schedule, add a pipeline."""

import datetime as dt
import time
import uuid


def wait_until(what, seconds: float, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(2)
    raise AssertionError(f"{what} within {seconds} s")


def test_a_second_pipeline_goes_all_the_way_without_dag_code(project):
    project.slipway("demo", "--pipeline", "digit_reader", timeout=600)
    report = project.report()
    assert report["model"]["name"] == "digit_reader"
    assert report["model"]["metrics"]["accuracy"] > 0.9
    assert report["release"]["devices_on_new_version"] == report["release"]["devices"] == 20


def ended(project, dag_id: str, run_id: str, seconds: float = 240):
    airflow = project.airflow()

    def find():
        return [run for run in airflow.runs(dag_id) if run.run_id == run_id and run.state in ("success", "failed")]

    return wait_until(f"{run_id} of {dag_id} ends", seconds, find)[0]


def states(project, run) -> dict[str, str | None]:
    return {task.task_id: task.state for task in project.airflow().tasks(run)}


def answer_approval(project, dag_id: str, run_id: str, option: str, task: str = "approve") -> None:
    airflow = project.airflow()
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails"
    wait_until("the approval is asked for", 120, lambda: airflow._call("GET", path, missing=True))
    airflow._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})


def start(project, dag_id: str, conf: dict) -> str:
    run_id = f"manual__{uuid.uuid4()}"
    assert project.airflow().open_run(dag_id, run_id, conf)
    return run_id


def ingest(project, days: list[str]) -> None:
    """Days of ``digit_reader``, with every line of it on."""
    for line in ("ingest", "train", "release"):
        project.airflow().unpause(f"digit_reader.{line}")
    for run_id in [start(project, "digit_reader.ingest", {"partition": day}) for day in days]:
        assert ended(project, "digit_reader.ingest", run_id).state == "success"


def test_a_release_that_misbehaves_comes_back(project):
    project.change_pipeline("digit_reader", "max_p95_ms: 50.0", "max_p95_ms: 0.000001")
    trained = ended(project, "digit_reader.train", start(project, "digit_reader.train", {"partitions": 5}))
    assert trained.state == "success"
    released = ended(project, "digit_reader.release", "release__2")
    found = states(project, released)
    assert released.state == "failed"
    assert found["phase_5.observe"] == "failed" and found["phase_25.open_phase"] == "upstream_failed"
    wait_until("every device is back on version 1", 60, lambda: project.versions_on_devices("digit_reader") == {"1"})
    project.change_pipeline("digit_reader", "max_p95_ms: 0.000001", "max_p95_ms: 50.0")


def test_a_refused_approval_returns_the_fleet(project):
    run_id = start(project, "digit_reader.release", {"version": "2", "approval": True})
    answer_approval(project, "digit_reader.release", run_id, "Reject")
    released = ended(project, "digit_reader.release", run_id)
    assert released.state == "failed" and states(project, released)["phase_100.open_phase"] == "upstream_failed"
    wait_until("every device is back on version 1", 60, lambda: project.versions_on_devices("digit_reader") == {"1"})


def test_an_approved_release_reaches_everyone(project):
    run_id = start(project, "digit_reader.release", {"version": "2", "approval": True})
    answer_approval(project, "digit_reader.release", run_id, "Approve")
    assert ended(project, "digit_reader.release", run_id).state == "success"
    wait_until("every device runs version 2", 60, lambda: project.versions_on_devices("digit_reader") == {"2"})


def test_the_schedule_makes_a_run_by_itself(demo, project):
    airflow = project.airflow()

    def scheduled():
        runs = airflow.runs("flight_delay.ingest")
        return [run for run in runs if run.run_id.startswith("scheduled__") and run.state == "success"]

    (run,) = wait_until("the cron timetable's run for yesterday succeeds", 180, scheduled)
    assert run.partition in {str(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days)) for days in (1, 2)}


def test_the_command_line_backfills_a_fortnight(demo, project):
    # Airflow allows one backfill per DAG and closes a finished one only some two minutes after it was created.
    airflow = project.airflow()
    wait_until("the demo's backfill is closed", 240, lambda: not airflow.active_backfills("flight_delay.ingest"))
    dates = ["--from-date", "2013-02-01", "--to-date", "2013-02-14"]
    project.run(str(project.root / "var/bin/airflow"), "backfill", "create", "--dag-id", "flight_delay.ingest", *dates)
    expected = {f"2013-02-{day:02d}" for day in range(1, 15)}

    def published():
        runs = {run.partition: run.state for run in airflow.runs("flight_delay.ingest") if run.partition in expected}
        assert "failed" not in runs.values(), runs
        return set(runs) == expected and set(runs.values()) == {"success"}

    wait_until("14 days of February succeed", 300, published)
