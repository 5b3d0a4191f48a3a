"""Slipway in Airflow: connections, errors and operators translated; nothing is decided here."""
