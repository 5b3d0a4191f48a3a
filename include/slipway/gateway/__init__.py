"""The fleet gateway: signed files out, telemetry in."""
