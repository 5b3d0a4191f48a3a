"""What Airflow is told of an error; here, not with the unit tests, because it imports Airflow."""

import inspect

import pytest
from airflow.sdk.exceptions import AirflowFailException

from slipway import errors
from slipway_airflow.failures import fail_fast


def every_error():
    """All of the library's errors."""
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return sorted((each for each in found if issubclass(each, errors.SlipwayError)), key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", every_error())
def test_only_an_error_that_time_can_heal_is_left_to_airflows_retries(kind):
    @fail_fast
    def task():
        raise kind("what happened")

    with pytest.raises(kind if kind.retryable else AirflowFailException, match="what happened") as caught:
        task()
    if not kind.retryable:
        assert kind.__name__ in str(caught.value)
        assert isinstance(caught.value.__cause__, kind)


def test_one_errors_own_word_on_retries_counts():
    failure = errors.PodFailedError("killed")
    failure.retryable = True

    @fail_fast
    def task():
        raise failure

    with pytest.raises(errors.PodFailedError):
        task()


def test_an_error_nobody_expected_stays_what_it_is():
    @fail_fast
    def task():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        task()


def test_what_a_task_returns_and_is_called_is_kept():
    @fail_fast
    def add(left, right=1):
        """Add."""
        return left + right

    assert add(1, right=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Add.")
