"""The ledger for people, as HTML pages: pure functions from what was read to bytes."""
