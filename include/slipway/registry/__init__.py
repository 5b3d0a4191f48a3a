"""Model versions in MLflow: registered once, found by fingerprint, read back verified."""
