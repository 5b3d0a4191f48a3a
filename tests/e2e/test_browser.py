"""A person at the browser: log in, trigger an ingest with its form, see it succeed."""

import time

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import EVIDENCE

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET = ["--disable-background-networking", "--disable-component-update"]
PARTITION = "2013-03-03"


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
