"""Pre-commit and pre-merge webhooks: action files as lakeFS reads them, and what happens when a hook says no."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import lakefs
import lakefs_sdk
import pytest
from lakefs.exceptions import ServerException

from tests.contract.lakefs_protocol.test_protocol_history import contents, put

ACTION = """
name: quality gate
on:
  {event}:
    branches:
      - {branches}
hooks:
  - id: check
    type: webhook
    properties:
      url: {url}/check?fixed=1
      timeout: {timeout}
      query_params:
        level: strict
      headers:
        x-token: secret
"""


@dataclass
class Receiver:
    """A webhook's other end: remembers what came and answers with what ``react`` says."""

    react: Callable[[dict[str, Any]], int] = lambda event: 200
    events: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.events.append(event)
            state.paths.append(self.path)
            state.tokens.append(self.headers.get("x-token", ""))
            status = state.react(event)
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(b"because")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def side(repository: lakefs.Repository, main: lakefs.Branch) -> lakefs.Branch:
    return repository.branch("side").create("main")


def install(branch: lakefs.Branch, receiver: Receiver, event: str = "pre-merge", **options: str) -> None:
    """Stage an action file that asks the receiver."""
    values = {"event": event, "branches": "main", "url": receiver.url, "timeout": "10s"} | options
    branch.object("_lakefs_actions/gate.yaml").upload(ACTION.format(**values), pre_sign=False)


def refused(attempt: Callable[[], object]) -> str:
    with pytest.raises(ServerException) as caught:
        attempt()
    assert caught.value.status_code == 412
    assert set(caught.value.body) == {"message"}
    return str(caught.value.body["message"])


def test_a_merge_goes_on_when_its_hook_agrees(
    repository: lakefs.Repository, main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver
) -> None:
    install(side, receiver)
    source = side.commit("with a gate").get_commit()
    merged = side.merge_into(main, message="publish", metadata={"run": "7"})
    (event,) = receiver.events
    assert receiver.paths == ["/check?fixed=1&level=strict"]
    assert receiver.tokens == ["secret"]
    assert event.pop("event_time").startswith("20")
    assert event == {
        "event_type": "pre-merge", "action_name": "quality gate", "hook_id": "check",
        "repository_id": repository.id, "branch_id": "main", "source_ref": source.id, "commit_id": merged,
        "commit_message": "publish", "committer": source.committer,
        "commit_metadata": {"run": "7", ".lakefs.merge.strategy": "default"},
    }  # fmt: skip
    assert main.get_commit().id == merged


def test_a_hook_reads_the_merged_state_before_the_branch_moves(
    repository: lakefs.Repository, main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver
) -> None:
    put(main, on_main="1")
    head = main.commit("meanwhile").get_commit().id
    put(side, on_side="1")
    install(side, receiver)
    side.commit("side")
    seen: list[Any] = []

    def look(event: dict[str, Any]) -> int:
        commit = repository.commit(event["commit_id"])
        seen.append((set(contents(commit)) >= {"on_main", "on_side"}, main.get_commit().id))
        repository.branch("written-by-the-hook").create(event["commit_id"])
        return 200

    receiver.react = look
    side.merge_into(main)
    assert seen == [(True, head)]


@pytest.mark.parametrize("status", [500, 400, 302])
def test_a_merge_its_hook_refuses_changes_nothing(
    main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver, status: int
) -> None:
    receiver.react = lambda event: status
    before = main.get_commit().id
    install(side, receiver)
    side.commit("with a gate")
    message = refused(lambda: side.merge_into(main))
    assert "pre-merge hook aborted, run id" in message
    assert "hook 'check' of action 'quality gate' failed" in message
    assert str(status) in message
    assert "because" in message
    assert main.get_commit().id == before
    receiver.react = lambda event: 200
    side.merge_into(main)


def test_a_hook_that_does_not_answer_in_time_refuses(
    main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver
) -> None:
    receiver.react = lambda event: time.sleep(5) or 200
    install(side, receiver, timeout="300ms")
    side.commit("with a gate")
    begin = time.monotonic()
    assert "no answer within 0.3 s" in refused(lambda: side.merge_into(main))
    assert time.monotonic() - begin < 3
    receiver.url = "http://127.0.0.1:1"  # nobody listens there
    install(side, receiver)
    side.commit("another gate")
    assert "ConnectError" in refused(lambda: side.merge_into(main))


def test_others_work_on_while_a_hook_thinks(
    repository: lakefs.Repository, main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver
) -> None:
    asked, think = threading.Event(), threading.Event()

    def slowly(event: dict[str, Any]) -> int:
        asked.set()
        return 200 if think.wait(20) else 500

    receiver.react = slowly
    install(side, receiver)
    side.commit("with a gate")
    merging = threading.Thread(target=lambda: side.merge_into(main))
    merging.start()
    assert asked.wait(20)
    other = repository.branch("other").create("main")
    put(other, other="1")
    other.commit("other")
    other.merge_into(main)
    head = main.get_commit().id
    think.set()
    merging.join(30)
    # main had moved: the merge was made again upon it, and the hook asked about that one
    assert len(receiver.events) == 2
    assert main.get_commit().id == receiver.events[1]["commit_id"] != receiver.events[0]["commit_id"]
    assert main.get_commit().parents[0] == head


def test_a_commits_hook_sees_what_is_staged(
    repository: lakefs.Repository, main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver
) -> None:
    install(side, receiver, "pre-commit", branches='"s*"')
    put(side, bad="1")
    seen: list[bool] = []

    def look(event: dict[str, Any]) -> int:
        seen.append("bad" in contents(repository.branch(event["source_ref"])))
        return 200 if event["commit_metadata"] else 422

    receiver.react = look
    assert "pre-commit hook aborted" in refused(lambda: side.commit("not yet"))
    assert "bad" in [one.path for one in side.uncommitted()]
    side.commit("now", metadata={"approved": "yes"})
    assert list(side.uncommitted()) == []
    assert seen == [True, True]
    assert [event["event_type"] for event in receiver.events] == ["pre-commit"] * 2
    assert "commit_id" not in receiver.events[0]


def test_hooks_of_other_branches_and_events_are_not_asked(
    repository: lakefs.Repository, main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver
) -> None:
    receiver.react = lambda event: 500
    install(side, receiver, branches='"release-*"')
    side.commit("pre-merge is not pre-commit")
    side.merge_into(main)
    assert receiver.events == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("type: webhook", "type: lua"), "hooks.0.type"),
        (("pre-merge", "post-merge"), "on.post-merge"),
        (("id: check", "id: 1 2"), "hooks.0.id"),
        (("timeout: 10s", "timeout: 2m"), "hooks.0.properties.timeout"),
        (("timeout: 10s", "timeout: soon"), "expected a duration"),
        (("http://", "file://"), "hooks.0.properties.url"),
        (("hooks:", "hooks: ["), "expected YAML"),
        (("hooks:", "hooks: " + "[" * 20_000), "expected YAML"),
        (("name:", "#" * 65_536 + "\nname:"), "65536 bytes"),
        (("name: quality gate", "if: success()"), "if"),
    ],
)
def test_action_files_that_cannot_be_followed_refuse(
    main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver, change: tuple[str, str], complaint: str
) -> None:
    text = ACTION.format(event="pre-merge", branches="main", url=receiver.url, timeout="10s").replace(*change)
    side.object("_lakefs_actions/gate.yaml").upload(text, pre_sign=False)
    message = refused(lambda: side.commit("a wrong action"))
    assert "_lakefs_actions/gate.yaml" in message
    assert complaint in message
    assert receiver.events == []


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:9", "http://169.254.169.254", "http://127.0.0.1.example.org", "http://localhost@10.0.0.1"]
)
def test_hooks_go_to_this_machine_only(main: lakefs.Branch, side: lakefs.Branch, receiver: Receiver, url: str) -> None:
    receiver.url = url
    install(side, receiver)
    side.commit("with a gate")
    assert "is not this machine" in refused(lambda: side.merge_into(main))


def test_more_hosts_can_be_allowed(start_server: Callable[..., Any], receiver: Receiver) -> None:
    server = start_server(options=["--hook-host", "gate.invalid"])
    main = lakefs.Repository("hosts", server.client).create("local://hosts").branch("main")
    for host, complaint in {"gate.invalid": "ConnectError", "other.invalid": "is not this machine"}.items():
        receiver.url = f"http://{host}"
        install(main, receiver, "pre-commit")
        assert complaint in refused(lambda: main.commit("asks the host"))


def test_too_many_waiting_hooks_are_put_off(
    repository: lakefs.Repository, main: lakefs.Branch, receiver: Receiver
) -> None:
    waiting, think = threading.Semaphore(0), threading.Event()

    def slowly(event: dict[str, Any]) -> int:
        waiting.release()
        return 200 if think.wait(30) else 500

    receiver.react = slowly
    branches = [repository.branch(f"run-{number}").create("main") for number in range(17)]
    for branch in branches:
        install(branch, receiver, "pre-commit", branches='"run-*"', timeout="30s")
    with ThreadPoolExecutor(16) as pool:
        commits = [pool.submit(branch.commit, "slow") for branch in branches[:16]]
        assert all(waiting.acquire(timeout=20) for _ in commits)
        with pytest.raises(ServerException) as put_off:
            branches[16].commit("one too many")
        assert put_off.value.status_code == 429
        think.set()
        assert all(one.result() for one in commits)
    branches[16].commit("now")
    assert all(list(branch.uncommitted()) == [] for branch in branches)


def test_runs_and_their_hooks_are_listed(
    client: lakefs.client.Client, repository: lakefs.Repository, main: lakefs.Branch, side: lakefs.Branch,
    receiver: Receiver,
) -> None:  # fmt: skip
    receiver.react = lambda event: 500 if len(receiver.events) == 1 else 200
    install(side, receiver)
    side.commit("with a gate")
    message = refused(lambda: side.merge_into(main))
    merged = side.merge_into(main, message="again")
    api = client.sdk_client.actions_api
    passed, failed = api.list_repository_runs(repository.id).results
    assert (passed.status, passed.event_type, passed.branch, passed.commit_id) == (
        "completed", "pre-merge", "main", merged,
    )  # fmt: skip
    assert failed.status == "failed"
    assert failed.run_id in message
    assert api.list_repository_runs(repository.id, commit=merged).results == [passed]
    assert api.list_repository_runs(repository.id, branch="side").results == []
    assert api.get_run(repository.id, failed.run_id) == failed
    (hook,) = api.list_run_hooks(repository.id, failed.run_id).results
    assert (hook.action, hook.hook_id, hook.status) == ("quality gate", "check", "failed")
    assert b"because" in api.get_run_hook_output(repository.id, failed.run_id, hook.hook_run_id)
    with pytest.raises(lakefs_sdk.exceptions.NotFoundException):
        api.get_run(repository.id, "nothing")
