"""Slipway: CI/CD for machine-learning models, from raw data to a signed model on a device."""

__version__ = "0.1.0"
