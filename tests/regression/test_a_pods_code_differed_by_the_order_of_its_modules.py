"""A plan came back from Airflow's database with its modules in another order, and every pod's result was refused."""

import json

from slipway.identity.code import combined
from slipway.pipeline.load import find_pipeline
from slipway.pods.entries import own_code
from slipway.settings import settings
from slipway.stages.train import plan_works
from slipway.stages.works import Data


def test_a_plan_whose_modules_come_in_another_order_is_of_the_same_code():
    pipeline = find_pipeline(settings().pipelines, "flight_delay")
    data = Data(["2013-01-01"], ["2013-01-02"], None, {})
    plan = plan_works(pipeline, "c" * 64, data, root=settings().root, runtime="process")
    for work in plan.works:
        code = plan.ingredients(work).code
        # As PostgreSQL's jsonb keeps members: by the length of their names first.
        stored = json.loads(json.dumps({name: code[name] for name in sorted(code, key=lambda name: (len(name), name))}))
        assert list(stored) != list(code)
        assert combined(stored) == own_code(pipeline, work)
