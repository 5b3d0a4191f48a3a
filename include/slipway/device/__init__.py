"""The agent on an edge device; it imports nothing of Slipway but ``slipway.errors``."""
