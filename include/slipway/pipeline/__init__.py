"""The pipeline YAML as strict, frozen types."""
