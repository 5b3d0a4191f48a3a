"""A server that speaks the part of lakeFS's protocol that Slipway uses, for laptops and tests; production runs lakeFS.

Branches, commits, merges and staging behave as lakeFS does. A repository is one SQLite file (references, commits and
their trees, staging) and a folder of objects named by their SHA-256.
"""
