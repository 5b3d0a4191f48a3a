"""Statements: which stage turned which inputs into which outputs."""
