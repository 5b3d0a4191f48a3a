"""One Kubernetes pod manifest, three runtimes."""
