"""A person at the browser: log in, trigger an ingest with its form, see it succeed, read its quality reports."""

import time

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import EVIDENCE

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET = ["--disable-background-networking", "--disable-component-update"]
PARTITION = "2013-03-03"
REFUSED = "2013-03-04"


@pytest.fixture(scope="module")
def page(project):
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*FLAGS, *QUIET])
        made = browser.new_page(viewport={"width": 1400, "height": 950})
        made.set_default_timeout(60_000)
        yield made
        made.screenshot(path=EVIDENCE / "last.png")
        browser.close()


def log_in(page: Page, project) -> None:
    local = project.local()
    page.goto(f"{local.airflow_url}/")
    page.locator("input[name=username]").fill(local.airflow_login.name)
    page.locator("input[name=password]").fill(local.airflow_login.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "login" not in url)


def wait_for(project, partition: str, seconds: float = 180):
    airflow = project.airflow()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for run in airflow.runs("flight_delay.ingest"):
            if run.conf.get("partition") == partition and run.state in ("success", "failed"):
                return run
        time.sleep(2)
    raise AssertionError(f"no run for {partition} ended within {seconds} s")


def test_an_ingest_is_triggered_from_its_form_and_succeeds(page, project):
    project.airflow().unpause("flight_delay.ingest")
    log_in(page, project)
    page.goto(f"{project.local().airflow_url}/dags/flight_delay.ingest")
    expect(page.get_by_role("button", name="Trigger").first).to_be_visible()
    page.screenshot(path=EVIDENCE / "1-dag.png")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form).to_be_visible()
    # Every field has a default that will do.
    expect(form.get_by_role("button", name="Trigger").last).to_be_enabled()
    form.locator("[name=element_partition]").fill(PARTITION)
    form.locator("[name=element_note]").fill("from the browser")
    page.screenshot(path=EVIDENCE / "2-form.png")
    form.get_by_role("button", name="Trigger").last.click()
    run = wait_for(project, PARTITION)
    assert run.state == "success"
    page.goto(f"{project.local().airflow_url}/dags/flight_delay.ingest/runs/{run.run_id}")
    expect(page.get_by_text("Success", exact=False).first).to_be_visible()
    page.screenshot(path=EVIDENCE / "3-run.png")


def test_the_partition_asked_for_is_on_main(page, project):
    from slipway.lake.client import Lake
    from slipway.lake.uri import LakeUri

    found = Lake(project.local().lake).list(LakeUri("flight-delay", "main", f"features/date={PARTITION}/"))
    assert [item.path for item in found] == [f"features/date={PARTITION}/part-00000.parquet"]


def open_report(page: Page, project, run, task: str, dataset: str) -> None:
    """Click a task's button for a report, under its details; leaves the browser at the report."""
    page.goto(f"{project.local().airflow_url}/dags/flight_delay.ingest/runs/{run.run_id}/tasks/{task}/details")
    button = page.get_by_role("link", name=f"Quality report: {dataset}")
    expect(button).to_be_visible(timeout=30_000)
    page.screenshot(path=EVIDENCE / f"4-{task}-{run.state}.png")
    button.click()
    page.wait_for_url("**/slipway/reports/**")
    page.screenshot(path=EVIDENCE / f"5-report-{dataset}-{run.state}.png", full_page=True)


@pytest.mark.parametrize(
    ("task", "dataset"), [("publish", "features"), ("features", "flights"), ("features", "weather")]
)
def test_a_report_opens_from_its_task_after_the_run_branch_is_gone(page, project, task, dataset):
    open_report(page, project, wait_for(project, PARTITION), task, dataset)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{dataset}, {PARTITION}: pass")
    assert page.locator("svg").count() > 5


def test_the_report_of_a_refused_day_opens_from_the_failed_task(page, project):
    project.change_pipeline("flight_delay", "year: {type: int64, min: 1987", "year: {type: int64, min: 2014")
    try:
        project.airflow().trigger("flight_delay.ingest", {"partition": REFUSED})
        run = wait_for(project, REFUSED)
    finally:
        project.change_pipeline("flight_delay", "year: {type: int64, min: 2014", "year: {type: int64, min: 1987")
    assert run.state == "failed"
    open_report(page, project, run, "features", "flights")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"flights, {REFUSED}: fail")
    expect(page.get_by_role("heading", name="What failed")).to_be_visible()
    answer = page.request.get(page.url)
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_a_stranger_is_sent_through_the_login_to_the_report_and_a_program_is_refused(page, project):
    base = f"{project.local().airflow_url}/slipway/reports/flight_delay.ingest"
    url = f"{base}/{'a' * 64}/_quality/features/date={PARTITION}/report.html"
    assert httpx.get(url, trust_env=False).status_code == 401
    stranger = page.context.browser.new_context().new_page()
    stranger.goto(page.url)
    local = project.local()
    stranger.locator("input[name=username]").fill(local.airflow_login.name)
    stranger.locator("input[name=password]").fill(local.airflow_login.password)
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("heading", level=1)).to_have_text(f"flights, {REFUSED}: fail")
    stranger.context.close()


def test_housekeeping_leaves_the_refused_days_branch_for_inspection(project):
    from slipway.lake.client import Lake

    lake = Lake(project.local().lake)
    before = lake.branches("flight-delay", f"run-flight_delay-{REFUSED}")
    assert len(before) == 1
    airflow = project.airflow()
    airflow.trigger("slipway.housekeeping", {"dry_run": False})
    end = time.monotonic() + 180
    while not (done := [run for run in airflow.runs("slipway.housekeeping") if run.conf and run.state == "success"]):
        assert time.monotonic() < end
        time.sleep(2)
    assert {task.state for task in airflow.tasks(done[0])} == {"success"}
    assert lake.branches("flight-delay", f"run-flight_delay-{REFUSED}") == before
