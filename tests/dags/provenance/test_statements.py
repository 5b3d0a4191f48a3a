"""Versions and statements on pages, and what is wrong with them."""

import pytest
import sqlalchemy as sa

from slipway.ledger.schema import STATEMENT
from slipway_airflow import connections
from tests.simulators.making import AIRFLOW, making, record_making


def spoil(ledger, stage, **values):
    """Change rows of the ledger behind its back."""
    engine = sa.create_engine(ledger.connection.url)
    with engine.begin() as connection:
        connection.execute(STATEMENT.update().where(STATEMENT.c.stage == stage).values(**values))


def test_the_way_in_lists_versions_marks_the_champion_and_says_how_releases_ended(browser, ledger):
    record_making(ledger, making("1", outcomes=["completed"]))
    record_making(ledger, making("2", lr=0.002, outcomes=["rolled_back"], hours=9))
    page = browser.get("/").text
    base = "https://airflow.example.com/data/slipway/provenance"
    first, second = (f'<a href="{base}/flight_delay/versions/{number}">version {number}</a>' for number in (1, 2))
    assert f'{first} <span class="badge mark">champion</span>' in page
    assert second in page and page.count("champion") == 1
    assert page.index(second) < page.index(first)
    assert ">completed 2099-" in page and ">rolled back 2099-" in page
    assert "Handwritten digit reader" in page and "No version is registered yet." in page


def test_every_page_runs_no_script_loads_nothing_and_is_kept_by_nobody(browser, ledger):
    made = making()
    record_making(ledger, made)
    for path in ("/", "/flight_delay", "/flight_delay/versions/3", f"/statements/{made.trained.fingerprint}"):
        answer = browser.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8", path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy and "form-action 'self'" in policy
        assert answer.headers["cache-control"] == "private, no-store"
        assert "<script" not in answer.text and " src=" not in answer.text and " style=" not in answer.text


def test_a_version_leads_to_its_statements_and_to_the_services_outside(browser, ledger):
    made = making(days=4)
    record_making(ledger, made)
    page = browser.get("/flight_delay/versions/3").text
    for one in (made.trained, made.exported, *made.compiled, made.registered, *made.released):
        assert f"/statements/{one.fingerprint}" in page
        assert browser.get(f"/statements/{one.fingerprint}").status_code == 200
    assert "4 partitions" in page and "/flight_delay/versions/3/features" in page
    assert made.data[0].fingerprint not in page
    assert "https://mlflow.example.com/#/models/flight_delay/versions/3" in page
    assert f"{AIRFLOW}/dags/flight_delay.train/runs/" in page
    assert "Proved." in page and 'class="node broken' not in page
    parts = browser.get("/flight_delay/versions/3/ingest").text
    assert all(one.fingerprint in parts for one in made.data if one.stage == "ingest")


def test_a_lake_with_pages_is_linked_and_one_without_is_named(browser, ledger, monkeypatch):
    made = making()
    record_making(ledger, made)
    place = made.trained.commits["model"]
    named = browser.get(f"/statements/{made.trained.fingerprint}").text
    assert f"<code>lakefs://{place}</code>" in named
    monkeypatch.setattr(connections, "lake_pages", lambda: "https://lakefs.example.com")
    linked = browser.get(f"/statements/{made.trained.fingerprint}").text
    repository, commit = place.split("@")
    assert f'href="https://lakefs.example.com/repositories/{repository}/commits/{commit}"' in linked


def test_a_changed_statement_is_shown_as_broken_and_so_is_every_version_made_of_it(browser, ledger):
    made = making()
    record_making(ledger, made)
    forged = ledger.find(made.exported.fingerprint)
    with sa.create_engine(ledger.connection.url).begin() as connection:
        text = connection.execute(sa.select(STATEMENT.c.envelope).where(STATEMENT.c.id == forged.id)).scalar_one()
    other = ledger.find(made.trained.fingerprint).envelope.to_dict()["signatures"][0]["sig"]
    own = forged.envelope.to_dict()["signatures"][0]["sig"]
    spoil(ledger, "export", envelope=text.replace(own, other))
    page = browser.get("/flight_delay/versions/3").text
    assert "Not proved." in page and "✗ does not verify" in page and page.count('class="node broken') == 2
    one = browser.get(f"/statements/{made.exported.fingerprint}").text
    assert "Does not verify." in one and "was changed" in one and "<b>Verifies.</b>" not in one
    spoil(ledger, "export", envelope="{}")
    empty = browser.get(f"/statements/{made.exported.fingerprint}")
    assert empty.status_code == 200 and "Does not verify." in empty.text
    assert "Not proved." in browser.get("/flight_delay/versions/3").text


def test_a_row_that_claims_to_be_another_is_broken(browser, ledger):
    record_making(ledger, making())
    spoil(ledger, "register", subject="4")
    page = browser.get("/flight_delay/versions/4").text
    assert "Not proved." in page and "was changed" in page
    assert "does not verify" in browser.get("/").text


def test_a_missing_link_is_named_on_the_statement_that_lacks_it(browser, ledger):
    made = making()
    ledger.record(*(one for one in made.all if one.stage != "export"))
    page = browser.get("/flight_delay/versions/3").text
    assert (
        "Not proved." in page
        and "✗ not proved" in page
        and "nobody is on record for models/export/3/model.onnx" in page
    )
    assert "nobody is on record for it" in browser.get(f"/statements/{made.registered.fingerprint}").text


def test_disputed_statements_are_red_on_every_page(browser, ledger):
    from dataclasses import replace

    from slipway.errors import DisputedError

    made = making()
    record_making(ledger, made)
    name = next(iter(made.trained.outputs))
    with pytest.raises(DisputedError):
        ledger.record(replace(made.trained, outputs={**made.trained.outputs, name: "f" * 64}))
    one = browser.get(f"/statements/{made.trained.fingerprint}").text
    assert "Disputed." in one and "Others with the same fingerprint" in one and "ffffffffffff" in one
    page = browser.get("/flight_delay/versions/3").text
    assert "Not proved." in page and "✗ disputed" in page


def test_a_statement_says_what_differs_from_the_closest_one_before(browser, ledger):
    record_making(ledger, making("1"))
    second = making("2", lr=0.002, hours=9)
    record_making(ledger, second)
    page = browser.get(f"/statements/{second.trained.fingerprint}").text
    assert "<li>parameter lr 0.001 → 0.002</li>" in page
    assert "No ingest of flight_delay was made before." in browser.get(f"/statements/{second.data[0].fingerprint}").text


def test_names_from_data_are_text_and_never_markup(browser, ledger):
    from tests.simulators.ledger import statement

    hostile = '"><script>alert(1)</script>'
    made = statement(
        "train", hostile, pipeline="flight_delay", details={"x": hostile}, execution=_of("javascript:alert(1)")
    )
    ledger.record(made)
    page = browser.get(f"/statements/{made.fingerprint}").text
    assert (
        "<script" not in page
        and "javascript:" not in page.replace("&lt;", "<").split("<h2>Ingredients")[0].split("href")[1]
    )
    assert 'href="javascript:' not in page and "&lt;script&gt;alert(1)" in page


def _of(url):
    from dataclasses import replace

    from tests.simulators.ledger import execution

    return replace(execution(), run_url=url)


@pytest.mark.parametrize(
    "path",
    ["/statements/" + "0" * 64, "/statements/short", "/flight_delay/versions/99", "/no_such_pipeline",
     "/Bad!/versions/1", "/flight_delay/versions/3/nothing", "/nowhere/at/all/there"],
)  # fmt: skip
def test_what_does_not_exist_is_a_page_that_says_so(browser, ledger, path):
    record_making(ledger, making())
    answer = browser.get(path)
    assert answer.status_code == 404 and "Not found" in answer.text
    assert browser.get(path, headers={"Accept": "application/json"}).json()["detail"]
