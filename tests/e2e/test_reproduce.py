"""The demo's version is made again on its own stack."""

import json


def test_the_demos_version_is_bit_identical_when_it_is_made_again(demo, project):
    out = project.root / "var/verdict.json"
    version = demo["model"]["version"]
    project.slipway("reproduce", "flight_delay", version, "--partitions", "2", "--out", str(out), timeout=600)
    verdict = json.loads(out.read_text())
    assert (verdict["outcome"], verdict["whole"]) == ("identical", False)
    made = {one["stage"] for one in verdict["judged"] if one["outcome"] == "identical"}
    assert made == {"ingest", "features", "train", "export", "compile"}
