"""Contracts and the reports they leave."""
