"""The strategies of post-training over training seeds: does what notebook 10 shows depend on the seed?

    python -m organism.seeds --seeds 0 1 2 --weights DIR    # up to twelve minutes a checkpoint on two CPU cores

Each checkpoint is post-trained from the shipped base and measured; the numbers go to ``strategy_seeds.json`` beside the
shipped checkpoints, one row each, written at once, so that a run cut off goes on where it was. Weights stay in DIR.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from emotion_concepts.lm.models import load_model
from emotion_concepts.texts import materials
from emotion_concepts.texts.neutral import neutral_texts

from .corpus import STRATEGIES
from .strategies import measures
from .train import CHECKPOINTS, Recipe, load_base, post_train

RESULT = CHECKPOINTS / "strategy_seeds.json"
NEUTRAL = 120  # texts whose common components are taken out of the vectors


def rows(path: Path = RESULT) -> list[dict]:
    """The measured checkpoints: strategy, seed and :func:`organism.strategies.measures`; empty before the first."""
    return json.loads(path.read_text())["rows"] if path.exists() else []


def checkpoint(strategy: str, seed: int, weights: Path, recipe: Recipe, device: str) -> Path:
    """The folder of a checkpoint, trained unless it is there: seed 0 is the shipped one."""
    folder = CHECKPOINTS / strategy if seed == 0 else weights / str(seed) / strategy
    if not (folder / "model.safetensors").exists():
        model, tokenizer = load_base(CHECKPOINTS, device)
        post_train(model, tokenizer, recipe, weights / str(seed), device, True, strategy)
    return folder


def run(
    strategies: list[str], seeds: list[int], weights: Path, result: Path, recipe: Recipe, device: str, layer=None,
    **sizes,
) -> None:  # fmt: skip
    """Train and measure what ``result`` lacks; ``sizes`` as in :func:`organism.strategies.measures`."""
    plain = load_model("organism")
    neutral = neutral_texts(plain, materials.load(plain, "neutral"), NEUTRAL).texts
    layer = plain.layer(2 / 3) if layer is None else plain.check_layer(layer)
    for seed in seeds:
        for strategy in strategies:
            if any(r["strategy"] == strategy and r["seed"] == seed for r in rows(result)):
                continue
            folder = checkpoint(strategy, seed, weights, replace(recipe, seed=seed), device)
            subject = load_model(str(folder))
            row = {"strategy": strategy, "seed": seed, "layer": layer} | measures(subject, layer, neutral, **sizes)
            data = {"command": f"python -m organism.seeds --layer {layer}", "rows": [*rows(result), row]}
            result.write_text(json.dumps(data, indent=1) + "\n")
            print(row, flush=True)


def main(argv=None) -> None:
    """Command line; see the module's docstring."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    p.add_argument("--layer", type=int, help="that notebook 01 chose (default: at two thirds of the depth)")
    p.add_argument("--weights", type=Path, default=Path("runs/seeds"), help="folder for the trained weights")
    p.add_argument("--result", type=Path, default=RESULT)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = p.parse_args(argv)
    run(a.strategies, a.seeds, a.weights, a.result, Recipe(), a.device, a.layer)


if __name__ == "__main__":
    main()
