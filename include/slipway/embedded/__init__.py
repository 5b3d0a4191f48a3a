"""The local stack: supervisor, simulated fleet, and the lakeFS-protocol server."""
