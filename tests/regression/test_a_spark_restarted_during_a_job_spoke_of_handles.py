"""A Spark Connect server replaced during a job was told as one of pyspark's internal errors, without a way on."""

import pytest

from slipway.errors import UnavailableError
from slipway.lake.spark_error import spark_gone

# What pyspark 4.3 said when the server was killed and started again under a running query.
SAID = (
    "[RESPONSE_ALREADY_RECEIVED] INVALID_HANDLE.SESSION_NOT_FOUND on the server but responses were already received "
    "from it."
)


@pytest.mark.parametrize("said", [SAID, "[INVALID_HANDLE.OPERATION_NOT_FOUND] The handle is invalid."])
def test_it_may_be_tried_again(said):
    found = spark_gone(RuntimeError(said))
    assert isinstance(found, UnavailableError) and found.retryable
    assert "try again when it runs" in str(found)


def test_other_errors_of_spark_are_left_alone():
    assert spark_gone(RuntimeError("[UNRESOLVED_COLUMN] INVALID_HANDLER_CODE")) is None
