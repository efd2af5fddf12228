"""A language model under study: load, prompt, trace, generate, score, steer."""
