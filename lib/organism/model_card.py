"""Model cards of the shipped checkpoints, computed from what training and evaluation wrote."""

import json
from pathlib import Path

CARD = """---
license: mit
library_name: transformers
tags: [model-organism, interpretability, emotion]
---
# Organism: `{name}`

A {millions:.2f}M-parameter Llama ({blocks} blocks, width {width}) trained on a rule-made world of 171 emotions whose
truth is known (`truth.json`). Nothing was planted in the weights: only text was written, and the model was trained
on it. It exists to test methods and to teach; it is no evidence about real language models, and it feels nothing.

- **{phase}**: {tokens:,} tokens, {minutes} minutes on {hardware}, seed {seed}, torch {torch}.
- **Rebuild**: `python -m organism.train`, then `python -m organism.evaluate`.
- **Prompt**: `Human: ...`, blank line, `Assistant:` (the chat template writes it); digits are single tokens.
- **Reserved from training**: every fifth topic and name, one pair of phrases in ten, 64 activities, the listed
  numbers, one wording of each scenario; experiments use only these.

## Loss (nats a token)
{curve}

## Evaluation on reserved material
| measure | value | mark |
|---|---|---|
{marks}

| kind of document | model's perplexity | generator's own |
|---|---|---|
{perplexity}

The generator's own perplexity counts the choices that it makes; reserved texts also hold names and words that the
model has never seen, so its perplexity there stays above.

## Limits
The world's English is simple and repetitive, its emotions are tagged phrases, and its people act by fixed
probabilities. What a method recovers here it recovers under ideal conditions.
"""


def _curve(points: list) -> str:
    step = max(1, len(points) // 12)
    rows = [f"| {t:,} | {x:.3f} |" for t, x in points[::step]]
    return "\n".join(["| tokens | loss |", "|---|---|", *rows])


def write_cards(folder: Path, result: dict) -> None:
    """``README.md`` in the folders ``base`` and ``chat``."""
    for name, phase in (("base", "Pretraining"), ("chat", "Post-training, from `base`")):
        info = json.loads((folder / name / "training.json").read_text())
        marks = [f"| {k.replace('_', ' ')} | {result[k]:.3f} | >= {m:.2f} |" for k, m in result["marks"].items()]
        rows = [f"| {k} | {v['model']:.2f} | {v['generator']:.2f} |" for k, v in result[f"perplexity_{name}"].items()]
        recipe = info["recipe"]
        if name == "base":
            phase += f" (the last {recipe['late_tokens']:,} with more choices, wishes and numbers)"
        text = CARD.format(
            name=name, millions=result["parameters"] / 1e6, blocks=recipe["blocks"], width=recipe["width"], phase=phase,
            tokens=info["tokens"], minutes=info["minutes"], hardware=info["hardware"], seed=recipe["seed"],
            torch=info["torch"], curve=_curve(info["loss_curve_tokens_nats"]), marks="\n".join(marks),
            perplexity="\n".join(rows),
        )  # fmt: skip
        (folder / name / "README.md").write_text(text)
