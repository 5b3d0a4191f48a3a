"""What runs inside the training pod."""
