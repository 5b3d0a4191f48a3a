"""The training pod: features of some days become a trained, evaluated model.

Reads the pipeline's features at one commit, trains the pipeline's model, measures it on the held-out days beside the
plain baseline and the MLflow champion, and writes model.safetensors, holdout.npz, calibration.npz, golden.npz,
slices.json, evaluation.json and, last, result.json.

The lake comes from LAKECTL_SERVER_ENDPOINT_URL, LAKECTL_CREDENTIALS_ACCESS_KEY_ID and
LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY, MLflow from MLFLOW_TRACKING_URI.

Exit codes: 0 the work is done (also if the verdict is "fail"), 65 it cannot succeed as asked, 75 a service was
unreachable and a retry may help, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from slipway.errors import ConfigurationError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pods.entries import TRAIN, own_code
from slipway.pods.entrypoint import run
from slipway.settings import settings
from slipway.training.data import check_partitions
from slipway.training.model_module import load_model_module


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; ``argv`` as after the program's name, None for this process's."""
    options = _parser().parse_args(argv)
    pipeline = find_pipeline(settings().pipelines, options.pipeline)
    check_partitions(options.partitions, options.holdout)
    lake = Lake.from_environment()
    # What can go wrong early is tried before torch is imported, which takes seconds.
    from slipway.training.tracking import client_from_environment

    client = client_from_environment()
    module = load_model_module(settings().models / f"{pipeline.training.model}.py")
    from slipway.training.job import Request, train

    request = Request(
        commit=options.commit,
        partitions=options.partitions,
        holdout=options.holdout,
        fingerprint=options.fingerprint,
        output=options.output,
        champion=options.champion,
        run=options.run,
        code=own_code(pipeline, TRAIN),
    )
    train(request, pipeline, module, lake, client)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m slipway.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="pipeline in include/pipelines/")
    parser.add_argument("--commit", required=True, type=_hex64, help="lakeFS commit id to read, 64 hex digits")
    parser.add_argument(
        "--partitions", required=True, type=_days, metavar="DAY,...", help="days to train on, YYYY-MM-DD"
    )
    parser.add_argument(
        "--holdout", required=True, type=_days, metavar="DAY,...", help="days to evaluate on, all later than those"
    )
    parser.add_argument("--fingerprint", required=True, type=_hex64, help="of this training, 64 hex digits")
    parser.add_argument(
        "--output", required=True, type=_uri, metavar="URI", help="lakefs://<repository>/<branch>/<folder>"
    )
    parser.add_argument(
        "--champion", metavar="VERSION", help="registered version to compare with; none: the baseline only"
    )
    parser.add_argument("--run", default="", metavar="ID", help="run this is made for")
    return parser


def _hex64(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"expected 64 lower-case hex digits, got {text!r}")
    return text


def _days(text: str) -> tuple[str, ...]:
    return tuple(day.strip() for day in text.split(",") if day.strip())


def _uri(text: str) -> LakeUri:
    try:
        return LakeUri.parse(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    run(main)
