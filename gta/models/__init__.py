"""Vision transformers, where their weights come from, and the taps that read them."""
