import pytest

from slipway.errors import LakeNotFoundError, PodResultError
from slipway.lake.uri import LakeUri
from slipway.pods.result import PodResult, read_result, upload, write_result
from tests.simulators.lake import LakeSimulator

OUTPUT = LakeUri.parse("lakefs://flight-delay/run/models/f/train")


@pytest.fixture
def lake():
    lake = LakeSimulator()
    lake.ensure_repository("flight-delay")
    lake.create_branch("flight-delay", "run", "main")
    return lake


def finished(lake, fingerprint="f" * 64) -> None:
    outputs = upload(lake, OUTPUT, {"model.bin": b"weights"})
    write_result(
        lake, OUTPUT, PodResult(stage="train", fingerprint=fingerprint, status="built", outputs=outputs, hardware="cpu")
    )


def test_a_finished_pod_is_read_back_verified(lake):
    finished(lake)
    assert read_result(lake, OUTPUT, "f" * 64).outputs["model.bin"].size == 7


def test_a_pod_that_ended_well_without_a_result_file_did_not_succeed(lake):
    with pytest.raises(PodResultError, match="ended without finishing its work"):
        read_result(lake, OUTPUT, "f" * 64)


def test_the_result_of_other_work_is_not_accepted(lake):
    finished(lake, "0" * 64)
    with pytest.raises(PodResultError, match="expected ffffffffffff"):
        read_result(lake, OUTPUT, "f" * 64)


def test_a_changed_output_is_noticed(lake):
    finished(lake)
    lake.put(OUTPUT / "model.bin", b"tampered")
    with pytest.raises(PodResultError, match="it was changed"):
        read_result(lake, OUTPUT, "f" * 64)


def test_a_missing_output_is_noticed(lake):
    finished(lake)
    lake.delete(OUTPUT / "model.bin")
    with pytest.raises(PodResultError, match="no such object") as caught:
        read_result(lake, OUTPUT, "f" * 64)
    assert isinstance(caught.value.__cause__, LakeNotFoundError)


def test_garbage_in_place_of_a_result_is_said_so(lake):
    lake.put(OUTPUT / "result.json", b"{}")
    with pytest.raises(PodResultError, match="not a result file"):
        read_result(lake, OUTPUT, "f" * 64)


def test_a_skipped_result_needs_a_reason():
    with pytest.raises(ValueError, match="needs a reason"):
        PodResult(stage="compile", fingerprint="f", status="skipped", hardware="cpu")
