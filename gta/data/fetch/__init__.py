"""Archives and weights: find, download, check and unpack them."""
