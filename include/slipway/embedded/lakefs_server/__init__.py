"""A server that speaks the part of lakeFS's protocol that Slipway uses, for laptops and tests; production runs lakeFS.

Branches, commits, merges and staging behave as lakeFS does. A repository is one SQLite file (references, commits and
their trees, staging) and a folder of objects named by their SHA-256.

The credentials file holds an admin's key pair and perhaps more users, each with a key pair and a role. All read
everything; ``admin`` writes everything, ``read`` nothing and ``write`` one branch::

    {"lakefs_access_key": "…", "lakefs_secret_key": "…", "users": [
        {"id": "auditor", "access_key": "…", "secret_key": "…", "role": "read"},
        {"id": "ingest", "access_key": "…", "secret_key": "…", "role": "write", "repository": "r", "branch": "run-1"}]}

Action files (``_lakefs_actions/*.yaml``) may put webhooks before commits and merges. Who may write them has this
server post to this machine, so they are for users who could do that themselves.
"""
