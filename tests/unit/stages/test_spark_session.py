import datetime as dt
import shutil
import uuid

from slipway.settings import settings
from slipway.stages.spark import shared_session, worker_code

DAY, CODE = dt.date(2013, 1, 1), "c0de"


def test_every_task_of_a_day_asks_for_the_same_session():
    assert shared_session(DAY, CODE) == shared_session(dt.date(2013, 1, 1), CODE)


def test_another_day_has_a_session_of_its_own():
    assert len({shared_session(DAY + dt.timedelta(days=n), CODE) for n in range(60)}) == 60


def test_its_name_is_what_spark_connect_takes():
    # pyspark's ChannelBuilder refuses a session_id that is not a UUID in its usual writing.
    assert str(uuid.UUID(shared_session(DAY, CODE))) == shared_session(DAY, CODE)


def test_code_that_sparks_workers_keep_loaded_gives_a_new_session_once_it_is_edited(tmp_path):
    shutil.copytree(settings().root / "include" / "slipway" / "lake", tmp_path / "include" / "slipway" / "lake")
    before = worker_code(tmp_path)
    source = tmp_path / "include" / "slipway" / "lake" / "parquet_format.py"
    source.write_text(source.read_text() + "\n# mended\n")
    after = worker_code(tmp_path)
    assert shared_session(DAY, before) != shared_session(DAY, after)
