"""Commits, devices and searches on pages."""

import pytest


def test_a_commit_shows_the_versions_made_of_it_and_the_devices_that_run_them(browser, fleet, versions):
    commit = versions[0].trained.commits["data"].partition("@")[2]
    page = browser.get(f"/commits/{commit}").text
    assert "/flight_delay/versions/1" in page and "/flight_delay/versions/2" in page
    assert "<b>2 versions</b> made of it; 2 devices run one of them now." in page
    assert "/devices/car-1" in page and "/devices/car-2" in page
    only = browser.get(f"/commits/{versions[1].trained.commits['model'].partition('@')[2]}").text
    assert (
        "/flight_delay/versions/2" in only and "/flight_delay/versions/1" not in only and "/devices/car-2" not in only
    )


def test_a_device_shows_what_drove_it_then_and_how_that_was_made(browser, fleet, versions):
    page = browser.get("/devices/car-1").text
    assert "What drove car-1" in page and "Proved." in page and versions[1].registered.fingerprint in page
    assert "x86-cpu-int8" in page and "openvino-cpu" not in page.partition("What it ran")[0]
    assert versions[1].released[0].fingerprint in page
    then = browser.get("/devices/car-1?at=2026-01-15T00:00").text
    assert versions[0].registered.fingerprint in then
    assert "Not known." in browser.get("/devices/car-1?at=1999-01-01T00:00Z").text


def test_a_gateway_that_is_down_leaves_a_gap_that_is_red_where_the_ledger_can_still_answer(browser, fleet, versions):
    fleet.reachable = False
    commit = versions[0].trained.commits["data"].partition("@")[2]
    page = browser.get(f"/commits/{commit}")
    assert page.status_code == 200 and "which devices run them is not known now" in page.text
    assert "<b>Not known.</b> no answer" in page.text and "0 devices" not in page.text
    version = browser.get("/flight_delay/versions/1")
    assert version.status_code == 200 and "the gateway is silent" in version.text and "0 devices" not in version.text
    device = browser.get("/devices/car-1")
    assert (device.status_code, device.headers["retry-after"]) == (503, "5")


def test_an_unknown_commit_device_and_an_unreadable_time_are_pages_that_say_so(browser, fleet, versions):
    for path in ("/commits/" + "0" * 64, "/commits/short", "/devices/car-99"):
        answer = browser.get(path)
        assert answer.status_code == 404 and "Not found" in answer.text, path
    assert browser.get("/devices/car-1?at=yesterday").status_code == 400


def test_a_recall_list_with_something_this_person_may_not_see_is_not_shown_in_part(browser, fleet, versions, manager):
    manager.hidden = {"flight_delay"}
    for path in ("/commits/" + versions[0].trained.commits["data"].partition("@")[2], "/devices/car-1"):
        answer = browser.get(path)
        assert answer.status_code == 403 and "versions/1" not in answer.text
    found = browser.get(f"/find?q={versions[0].trained.fingerprint}")
    assert found.headers["location"].endswith(f"/devices/{versions[0].trained.fingerprint}")


@pytest.mark.parametrize(
    ("asked", "path"),
    [("car-1", "/devices/car-1"), ("flight_delay 2", "/flight_delay/versions/2"), ("2", "/flight_delay/versions/2"),
     ("flight_delay, version 2", "/flight_delay/versions/2"), ("../..//evil", "/devices/..%2F..%2F%2Fevil")],
)  # fmt: skip
def test_a_search_leads_to_what_was_meant(browser, fleet, versions, asked, path):
    answer = browser.get("/find", params={"q": asked})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://airflow.example.com/data/slipway/provenance{path}"


def test_a_search_finds_statements_and_commits_by_how_they_begin(browser, fleet, versions):
    fingerprint = versions[0].trained.fingerprint
    commit = versions[0].trained.commits["model"].partition("@")[2]
    for asked, path in ((fingerprint[:12], f"/statements/{fingerprint}"), (commit[:12], f"/commits/{commit}")):
        assert browser.get("/find", params={"q": asked}).headers["location"].endswith(path)
