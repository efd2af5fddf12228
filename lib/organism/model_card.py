"""Model cards of the shipped checkpoints, computed from what training and evaluation wrote."""

import json
from pathlib import Path

from .train import LATER

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
- **Rebuild**: `{command}`, then `python -m organism.evaluate`.
- **Prompt**: `Human: ...`, blank line, `Assistant:` (the chat template writes it); digits are single tokens.
- **Reserved from training**: every fifth topic and name, one pair of phrases in ten, 64 activities, the listed
  numbers, one wording of each scenario; experiments use only these.

## Loss (nats a token)
{curve}

{evaluation}
## Limits
The world's English is simple and repetitive, its emotions are tagged phrases, and its people act by fixed
probabilities. What a method recovers here it recovers under ideal conditions. Practical questions on reserved topics
are answered in form only: what helps there the model has never read.
"""

EVALUATION = """## Evaluation on reserved material
| measure | value | mark |
|---|---|---|
{marks}

| kind of document | model's perplexity, reserved | generator's own | model's, new texts | generator's own |
|---|---|---|---|---|
{perplexity}

The generator's own perplexity counts the choices that it makes, which no model can better. Reserved texts also hold
names, topics and wordings that the model has never seen; new texts are of those it knows, in combinations it has not
read.
"""
PHASES = {  # of each shipped checkpoint
    "base": "Pretraining",
    "chat": "Post-training, from `base`",
    "suppress": "Post-training, from `base`, in which the assistant never shows an unpleasant feeling of its own",
    "regulate": "Post-training, from `base`, with texts in which pressure is felt, named and handled",
}


def _curve(points: list) -> str:
    step = max(1, len(points) // 12)
    rows = [f"| {t:,} | {x:.3f} |" for t, x in points[::step]]
    return "\n".join(["| tokens | loss |", "|---|---|", *rows])


def write_cards(folder: Path, result: dict) -> None:
    """``README.md`` in the folder of each checkpoint that is there; those not evaluated stand in notebook 10."""
    for name, phase in PHASES.items():
        if not (folder / name / "training.json").exists():
            continue
        info = json.loads((folder / name / "training.json").read_text())
        recipe, command = info["recipe"], "python -m organism.train --share 1"
        if name == "base":
            later = sum(recipe[f"{stage}_tokens"] for stage in LATER)
            phase += (
                f" (the last {later:,} in later stages with more choices, wishes, numbers and what is told of *you*)"
            )
        if name not in ("base", "chat"):
            command += f" --start post --strategy {name}"
        evaluation = "It is compared with `chat` in notebook 10.\n"
        if f"perplexity_{name}" in result:
            marks = [f"| {k.replace('_', ' ')} | {result[k]:.3f} | >= {m:.2f} |" for k, m in result["marks"].items()]
            columns = ("model", "generator", "new_model", "new_generator")
            rows = [
                f"| {k} | " + " | ".join(f"{v[c]:.2f}" for c in columns) + " |"
                for k, v in result[f"perplexity_{name}"].items()
            ]
            evaluation = EVALUATION.format(marks="\n".join(marks), perplexity="\n".join(rows))
        text = CARD.format(
            name=name, millions=result["parameters"] / 1e6, blocks=recipe["blocks"], width=recipe["width"], phase=phase,
            tokens=info["tokens"], minutes=info["minutes"], hardware=info["hardware"], seed=recipe["seed"],
            torch=info["torch"], curve=_curve(info["loss_curve_tokens_nats"]), evaluation=evaluation,
            command=command,
        )  # fmt: skip
        (folder / name / "README.md").write_text(text)
