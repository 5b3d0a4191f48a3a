"""Staged releases: plan, gates, and the signed channel."""
