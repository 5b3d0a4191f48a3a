"""Where raw data comes from, one module per kind of source."""
