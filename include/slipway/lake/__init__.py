"""lakeFS: URIs, the client, run branches, publishing, and the Spark data source."""
