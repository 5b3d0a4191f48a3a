"""From a PyTorch model to what a device runs: canonical ONNX first, then one artifact per target, each checked."""
