"""A person at the browser asks how a model was made: the pages alone, served on a small ledger."""

import os
import socket
import subprocess
import sys
import time

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.conftest import EVIDENCE
from tests.e2e.test_browser import FLAGS, QUIET
from tests.project_copy import ROOT


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The address of the pages, served by a process of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder, home = tmp_path_factory.mktemp("ledger"), tmp_path_factory.mktemp("airflow")
    paths = [str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")]
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/unused.db",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, "-m", "tests.e2e.provenance_app", str(folder), str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as server:
        address = f"http://127.0.0.1:{port}/slipway/provenance"
        try:
            wait_until_it_answers(f"{address}/", server)
            yield address
        finally:
            server.terminate()


def wait_until_it_answers(url, server, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended"
        try:
            httpx.get(url, trust_env=False, timeout=30)
        except httpx.TransportError:
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"{url} did not answer within {seconds} s")


@pytest.fixture(scope="module")
def browser():
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*FLAGS, *QUIET])
        yield made
        made.close()


@pytest.fixture
def page(browser):
    """A window as wide as a small laptop's; whatever the browser refuses or complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    complaints = []

    def listen(said):
        # What does not exist is a page too, of which the browser says as much.
        if said.type == "error" and "404" not in said.text:
            complaints.append(said.text)

    made.on("console", listen)
    yield made
    context.close()
    assert not complaints


def picture(page, name):
    page.screenshot(path=EVIDENCE / f"provenance-{name}.png", full_page=True)


def test_from_the_way_in_to_a_version_to_its_training_to_the_data_it_learned_from(page, base):
    page.goto(f"{base}/")
    picture(page, "overview")
    page.get_by_role("link", name="version 3").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("flight_delay, version 3 champion")
    expect(page.get_by_text("Proved.")).to_be_visible()
    picture(page, "version")
    # The whole graph is on the screen of a small laptop.
    box = page.locator("div.scroll").first
    assert box.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.locator("svg g.node", has_text="2013-01-01 –").first.locator("a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("train of flight_delay, 2013-01-01..2013-01-31")
    expect(page.get_by_text("parameter lr 0.002 → 0.001")).to_be_visible()
    picture(page, "statement")
    page.get_by_role("link", name="features of 2013-01-02", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("features of flight_delay, 2013-01-02")
    page.get_by_role("link", name="ingest of 2013-01-02").first.click()
    expect(page.get_by_text("the feed").first).to_be_visible()


def test_many_partitions_are_one_box_that_opens_their_list(page, base):
    page.goto(f"{base}/flight_delay/versions/3")
    page.get_by_role("link", name="31 partitions, 2013-01-01, – 2013-01-31").first.click()
    expect(page.get_by_role("row")).to_have_count(32)
    picture(page, "partitions")
    page.get_by_role("link", name="2013-01-17").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("ingest of flight_delay, 2013-01-17")


def test_boxes_lead_to_the_dag_run_to_mlflow_and_to_the_commit_in_lakefs(page, base):
    page.goto(f"{base}/flight_delay/versions/3")
    version = page.locator("svg g.node", has_text="version 3")
    feet = {link.text_content(): link.get_attribute("href") for link in version.locator("a").all()[1:]}
    assert feet["MLflow"] == "https://mlflow.example.com/#/models/flight_delay/versions/3"
    assert feet["lakeFS"].startswith("https://lakefs.example.com/repositories/flight-delay/commits/")
    assert feet["DAG run"].startswith("https://airflow.example.com/dags/flight_delay.train/runs/")


def test_a_version_made_of_something_changed_is_red_and_so_is_that(page, base):
    page.goto(f"{base}/flight_delay/versions/2")
    expect(page.get_by_text("Not proved.")).to_be_visible()
    broken = page.locator("svg g.broken")
    expect(broken).to_have_count(2)
    expect(broken.nth(0)).to_contain_text("✗ does not verify")
    expect(broken.nth(1)).to_contain_text("✗ not proved")
    picture(page, "broken")
    broken.nth(0).locator("a").first.click()
    expect(page.get_by_text("Does not verify.")).to_be_visible()
    assert page.locator(".verdict.good").count() == 0
    picture(page, "broken-statement")


def test_the_keyboard_alone_leads_into_the_graph(page, base):
    page.goto(f"{base}/flight_delay/versions/3")
    page.locator("div.scroll").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/versions/3/ingest")


def search(page, text):
    page.get_by_role("searchbox").fill(text)
    page.keyboard.press("Enter")


def test_a_device_leads_to_what_drove_it_and_that_to_the_recall_list_of_its_data(page, base):
    page.goto(f"{base}/")
    search(page, "car-03")
    expect(page.get_by_role("heading", level=1)).to_have_text("What drove car-03")
    assert page.locator("svg .head").all_text_contents()[-3:] == ["version", "release", "device"]
    # Of three targets, the device's own.
    assert page.locator("svg g.node", has_text="x86-cpu-int8").count() == 2
    assert page.locator("svg g.node", has_text="openvino-cpu").count() == 0
    picture(page, "device")
    page.locator("svg g.node", has_text="2013-01-01 –").first.locator("a").first.click()
    page.get_by_role("link", name="what was made of it").first.click()
    expect(page.get_by_text("10 devices run one of them now")).to_be_visible()
    assert [node.text_content() for node in page.locator("svg .title").all()].count("version 2") == 1
    picture(page, "commit")
    page.get_by_role("link", name="car-09").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What drove car-09")


def test_a_device_is_asked_about_a_time_in_the_past(page, base):
    page.goto(f"{base}/devices/car-03")
    page.get_by_label("at (UTC)").fill("2025-12-29T12:00")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("svg g.node", has_text="version 1").first).to_be_visible()


def test_a_version_is_found_by_its_number_and_a_statement_by_the_start_of_its_fingerprint(page, base):
    page.goto(f"{base}/")
    search(page, "flight_delay 2")
    expect(page.get_by_role("heading", level=1)).to_have_text("flight_delay, version 2")
    start = page.locator("svg .mono").first.text_content()
    search(page, start)
    expect(page.locator("main code").first).to_contain_text(start)
    search(page, "car-99")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_readable_by_day_and_by_night(browser, base, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    made = context.new_page()
    made.goto(f"{base}/flight_delay/versions/3")
    picture(made, scheme)
    contrast = made.evaluate(CONTRAST)
    assert contrast["ink"] > 7 and contrast["soft"] > 4.5 and contrast["good"] > 4.5 and contrast["bad"] > 4.5
    context.close()


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement)
  const part = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  const light = name => {
    const text = style.getPropertyValue('--' + name).trim()
    const full = text.length === 4 ? '#' + [...text.slice(1)].map(one => one + one).join('') : text
    const [red, green, blue] = [1, 3, 5].map(at => part(parseInt(full.slice(at, at + 2), 16) / 255))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const against = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
  }
  return Object.fromEntries(['ink', 'soft', 'good', 'bad'].map(name => [name, against(name, 'card')]))
}"""
