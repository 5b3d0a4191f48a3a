"""The pages as pure functions: what is drawn, what is joined, what is escaped."""

import dataclasses
import datetime as dt
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.ledger.envelope import sign
from slipway.ledger.inspection import Inspection, Place, Seen
from slipway.ledger.pages.drawing import Graph, Line, Node, cut, simplest, svg
from slipway.ledger.pages.links import Links, outside
from slipway.ledger.pages.making import missing, version_graph
from slipway.ledger.pages.overview import champion_of, decision_page
from slipway.ledger.pages.statement import Around, statement_page
from slipway.ledger.pages.version import version_page
from slipway.ledger.schema import STATEMENT
from slipway.ledger.trust import role_of
from tests.simulators.chain import SIGNERS
from tests.simulators.ledger import ledger_at
from tests.simulators.making import making, record_making
from tests.simulators.statements import statements

LINKS = Links("https://airflow.example.com/slipway/provenance", mlflow="https://mlflow.example.com")


def seen(statement, number=1, problem=None, disputed=False):
    return Seen(
        id=number,
        fingerprint=statement.fingerprint,
        pipeline=statement.pipeline,
        stage=statement.stage,
        subject=statement.subject,
        finished=statement.execution.finished,
        disputed=disputed,
        statement=statement,
        envelope=sign(statement, SIGNERS[role_of(statement.stage)]),
        problem=problem,
    )


def chain_of(made):
    """As the ledger gives it: the version first, makers last."""
    before = [one for one in made.all if one.stage != "release"]
    return [seen(one, number) for number, one in reversed(list(enumerate(before, start=1)))]


def columns_of(graph):
    return {name: [node.title for node in nodes] for name, nodes in graph.columns}


class Checker(HTMLParser):
    """Counts elements, and remembers where links lead."""

    def __init__(self, page):
        super().__init__()
        self.count, self.open, self.hrefs, self.text = {}, [], [], []
        self.feed(page.decode())
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "input", "br", "link"):
            self.open.append(tag)
        self.hrefs += [value for name, value in attributes if name == "href"]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_startendtag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_version_is_drawn_in_columns_from_raw_data_to_releases():
    made = making(days=3, targets=["x86-cpu", "openvino-cpu"], outcomes=["rolled_back", "completed"])
    releases = [seen(one, 100 + number) for number, one in enumerate(made.released)]
    graph = version_graph(chain_of(made), releases, LINKS)
    days = "2013-01-01..2013-01-03"
    assert list(columns_of(graph).items()) == [
        ("raw data", ["3 partitions"]), ("features", ["3 partitions"]), ("training", [days]), ("ONNX", [days]),
        ("targets", ["openvino-cpu", "x86-cpu"]), ("version", ["version 3"]),
        ("releases", ["rolled back", "completed"]),
    ]  # fmt: skip
    # One line from left to right; that the version also holds the training's files follows from the rest.
    assert len(graph.arrows) == 3 + 2 + 2 + 2
    assert ("ingest", "features") in graph.arrows


def test_a_year_of_partitions_is_one_box_and_a_day_is_itself():
    year = version_graph(chain_of(making(days=365)), (), LINKS)
    (box,) = year.columns[0][1]
    assert (box.title, [line.text for line in box.lines][:2]) == ("365 partitions", ["2013-01-01", "– 2013-12-31"])
    assert box.href == LINKS.partitions("flight_delay", "3", "ingest")
    day = version_graph(chain_of(making(days=1)), (), LINKS)
    assert columns_of(day)["raw data"] == ["2013-01-01"]


def test_a_broken_partition_among_many_makes_their_box_red_and_says_how_many():
    chain = chain_of(making(days=5))
    chain[-1] = dataclasses.replace(chain[-1], problem="changed")
    (box,) = version_graph(chain, (), LINKS).columns[0][1]
    assert box.state == "broken" and box.lines[-1] == Line("1 are not proved", "bad")


def test_a_stage_nobody_thought_of_has_a_column_before_the_version():
    made = making(days=1)
    other = dataclasses.replace(
        made.exported, ingredients=dataclasses.replace(made.exported.ingredients, stage="prune")
    )
    graph = version_graph([*chain_of(made), seen(other, 99)], (), LINKS)
    names = [name for name, _ in graph.columns]
    assert names.index("targets") < names.index("prune") < names.index("version")


def test_what_nothing_in_the_chain_made_is_missing_except_the_feed():
    chain = chain_of(making(days=2))
    assert missing(chain) == {}
    without = [one for one in chain if one.stage != "export"]
    assert {one.stage for one in without if one.id in missing(without)} == {"compile", "register"}


nodes = st.integers(0, 7)


@given(st.sets(st.tuples(nodes, nodes).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: tuple(map(str, pair)))))
def test_arrows_that_are_left_out_follow_from_those_that_are_drawn(arrows):
    def reach(given_arrows):
        found = set(given_arrows)
        while new := {(a, d) for a, b in found for c, d in found if b == c} - found:
            found |= new
        return found

    drawn = simplest(arrows)
    assert drawn <= arrows and reach(drawn) == reach(arrows)
    assert all(reach(drawn - {one}) != reach(drawn) for one in drawn)


@settings(max_examples=60, deadline=None)
@given(statements, st.booleans(), st.none() | st.text(max_size=30))
def test_whatever_a_statement_says_its_page_is_well_formed_and_leads_only_where_links_may(statement, disputed, problem):
    shown = seen(statement, problem=problem, disputed=disputed)
    place = Place(statement.pipeline, "f" * 64, statement.stage, statement.subject)
    around = Around(dict.fromkeys(statement.materials, place), [place], 3, [statement], [shown])
    page = Checker(statement_page(shown, around, LINKS))
    assert page.count.get("script", 0) == 0
    assert all(href.startswith(("http://", "https://")) for href in page.hrefs)
    text = "".join(page.text)
    assert ("Does not verify." in text) == (problem is not None)
    assert ("Verifies." in text) == (problem is None and not disputed)


hostile = st.sampled_from(['"><script>alert(1)</script>', "</title><b>", "'&amp;", "]]>", "\x00<", "a" * 300])


@given(hostile, hostile)
def test_hostile_names_are_text_in_a_graph(name, other):
    node = Node("key", name, (Line(other),), f"https://x/{name}", (("out", "https://x/?a=1&b=2"),), hover=other)
    drawn = svg(Graph((("head", (node, dataclasses.replace(node, key="2", href=None))),), frozenset()), other)
    page = Checker(f"<body>{drawn}</body>".encode())
    assert not {"script", "b"} & page.count.keys()
    assert page.count["rect"] == 2 and page.count["title"] == 2


@pytest.mark.parametrize("scheme", ["javascript:alert(1)", "data:text/html,x", "//x", "", "vbscript:x", "http://[bad"])
def test_only_web_addresses_of_statements_are_links(scheme):
    assert outside(scheme) is None
    assert outside("https://airflow.example.com/dags/x") is not None


def test_names_in_addresses_are_quoted():
    assert LINKS.version("shop", "../1?x") == f"{LINKS.base}/shop/versions/..%2F1%3Fx"
    assert Links("b", lakefs="https://l").lake("r/x@c#1") == "https://l/repositories/r%2Fx/commits/c%231"
    assert Links("b").lake("r@c") is None and Links("b").registered("p", "1") is None


def test_a_version_that_is_not_proved_is_never_shown_as_proved():
    page = version_page(chain_of(making()), (), LINKS, flaw="a link is missing", devices=(), champion=True).decode()
    assert "Not proved." in page and "<b>Proved." not in page and "✗ not proved" in page


def test_devices_nobody_asked_about_are_unknown_and_not_none():
    page = version_page(chain_of(making()), (), LINKS, devices=None, silence="the gateway is away").decode()
    assert "the gateway is away" in page and "0 devices" not in page


def test_the_champion_is_of_the_newest_completed_release_that_can_be_believed():
    first, second = making("1"), making("2", outcomes=["completed", "rolled_back"], hours=9)
    newest = [seen(one, 10 - number) for number, one in enumerate((*reversed(second.released), *first.released))]
    assert champion_of(newest) == "2"
    newest[1] = dataclasses.replace(newest[1], problem="changed")
    assert champion_of(newest) == "1" and champion_of([]) is None


def test_a_decision_says_what_it_means_and_why():
    brief = {"stage": "train", "subject": "<x>", "fingerprint": "a" * 64, "outcome": "hit", "reasons": ["same & equal"]}
    page = decision_page("shop.train run, task train", brief, None, LINKS).decode()
    assert "Nothing was made: it was there." in page and "same &amp; equal" in page and "&lt;x&gt;" in page


def test_the_reader_hands_on_what_stages_refuse_and_says_why(tmp_path):
    ledger, made = ledger_at(tmp_path), making(days=2)
    record_making(ledger, made)
    with ledger.database.transaction() as connection:
        connection.execute(STATEMENT.update().where(STATEMENT.c.stage == "export").values(stage="exported"))
        connection.execute(STATEMENT.update().where(STATEMENT.c.stage == "train").values(envelope="nothing"))
    reader = Inspection(ledger)
    chain = reader.chain(made.registered.fingerprint)
    by_stage = {one.stage: one for one in chain}
    assert len(chain) == len(made.all) - 1 and by_stage["features"].trouble is None
    assert "was changed" in by_stage["exported"].problem and by_stage["exported"].statement is not None
    assert "DSSE" in by_stage["train"].problem and by_stage["train"].statement is None
    assert reader.flaw(chain)


def test_the_reader_finds_what_stands_around_a_statement(tmp_path):
    ledger, first, second = ledger_at(tmp_path), making("1", days=2), making("2", days=2, lr=0.002, hours=9)
    record_making(ledger, first)
    record_making(ledger, second)
    reader = Inspection(ledger)
    (trained,) = reader.claims(second.trained.fingerprint)
    assert [one.fingerprint for one in reader.earlier(trained)] == [first.trained.fingerprint]
    assert {place.subject for place in reader.makers(second.trained).values()} == {"2013-01-01", "2013-01-02"}
    features = reader.claims(first.data[1].fingerprint)[0]
    users, count = reader.users(features, 1)
    assert (users[0].fingerprint, count) == (second.trained.fingerprint, 2)
    assert [one.fingerprint for one in reader.begins(second.trained.fingerprint[:10])] == [second.trained.fingerprint]
    (newest,) = reader.newest("flight_delay", "register", 1)
    (older,) = reader.newest("flight_delay", "register", 5, before=newest.id)
    assert (newest.subject, older.subject) == ("2", "1")
    assert trained.finished.tzinfo == dt.UTC and reader.flaw(reader.chain(second.registered.fingerprint)) is None


def test_long_texts_are_cut_to_what_fits():
    assert cut("x" * 40, 10) == "x" * 9 + "…" and cut("short") == "short"
