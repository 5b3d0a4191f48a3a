"""A small server that speaks the lakeFS protocol, for laptops and tests.

Branches, commits, merges and staging behave as lakeFS does; the data lies in a git object database, one SQLite file
and content-addressed object files under one folder. Production uses lakeFS itself through the same SDK.
"""
