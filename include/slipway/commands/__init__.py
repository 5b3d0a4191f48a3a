"""The groups of ``slipway …``, one file each; ``slipway.cli`` names them."""
