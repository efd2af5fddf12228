"""Corpora, prompts and published facts."""
