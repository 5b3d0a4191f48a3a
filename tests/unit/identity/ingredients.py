"""Ingredients: one made by hand, and any."""

from hypothesis import strategies as st

from slipway.identity.fingerprint import Ingredients

EXAMPLE = Ingredients(
    stage="features",
    pipeline="flight_delay",
    code={"spark_jobs/flight_features.py": "aa"},
    parameters={"partition": "2013-01-01", "rate": 0.5},
    inputs={"raw/flights": "bb"},
    environment="cc",
    hardware="x86_64-cpu",
    seed=7,
    packages={"pyspark": "4.3.0"},
)

# Few values, and such as are easily taken for each other, so that equal and almost equal ingredients come up.
LEAVES = st.sampled_from([None, True, False, 0, -0.0, 1, 1.0, 0.1, 1e20, 1e21, "", "1", "true", "a", "é", "e\u0301"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.sampled_from(["", "a", "b", "a.b"]), inner, max_size=3)
    ),
    max_leaves=6,
)
STRINGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "1", "2"]), max_size=2)
ANY = st.builds(
    Ingredients,
    stage=st.sampled_from(["train", "features"]),
    pipeline=st.sampled_from(["p", "q"]),
    code=STRINGS,
    parameters=st.dictionaries(st.sampled_from(["", "a", "b", "a.b"]), VALUES, max_size=3),
    inputs=STRINGS,
    environment=st.sampled_from(["c" * 64, "d" * 64, "sha256:1", "sha256:2"]),
    hardware=st.sampled_from(["cpu", "gpu"]),
    seed=st.sampled_from([None, 0, 1]),
    packages=STRINGS,
)
