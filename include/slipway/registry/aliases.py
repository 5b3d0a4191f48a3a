"""The aliases of a registered model: MLflow's names for its versions with a part to play."""

CHALLENGER = "challenger"
"""The version registered last; what is released when nobody names a version."""
CHAMPION = "champion"
"""The version that completed its release last; what a new model must beat."""
