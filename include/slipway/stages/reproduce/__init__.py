"""A past version made again: what it was made of, the making, and the verdict."""
