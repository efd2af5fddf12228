"""From activations to emotion vectors and what they read."""
