import datetime as dt
import uuid

from slipway.stages.spark import shared_session

DAY = dt.date(2013, 1, 1)


def test_every_task_of_a_day_asks_for_the_same_session():
    assert shared_session(DAY) == shared_session(dt.date(2013, 1, 1))


def test_another_day_has_a_session_of_its_own():
    assert len({shared_session(DAY + dt.timedelta(days=n)) for n in range(60)}) == 60


def test_its_name_is_what_spark_connect_takes():
    # pyspark's ChannelBuilder refuses a session_id that is not a UUID in its usual writing.
    assert str(uuid.UUID(shared_session(DAY))) == shared_session(DAY)
