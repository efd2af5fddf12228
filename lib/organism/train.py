"""Builds a pair from a seed: tokenizer, pretraining with checkpoints, later stages, post-training.

python -m organism.train --out DIR        # a quarter of the tokens: within 90 minutes on two CPU cores
python -m organism.train --share 1        # all tokens, as the shipped pair: three to four times as long
python -m organism.train --smoke          # under a minute: does the loss fall?
python -m organism.train --device cuda    # faster, same recipe
"""

import argparse
import json
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from .batches import batches
from .corpus import (
    CLOSING,
    LATE,
    PRETRAINING,
    RELATIONS,
    SETTLING,
    STRATEGIES,
    TOLD,
    answered_once,
    post_training_stream,
    stream,
    take,
)
from .muon import has_bfloat16, use_float32
from .tokenizer import train_tokenizer

# the stages that go on with the base model: their mix, and whether talks that go on after the assistant's reply are in
LATER = {
    "late": (LATE, True),
    "relations": (RELATIONS, True),
    "settling": (SETTLING, False),
    "told": (TOLD, False),
    "closing": (CLOSING, False),
}
STAGES = ("pretraining", *LATER, "post")
CHECKPOINTS = Path(__file__).parent / "checkpoints"
ATTENTION = "eager"  # compiled; on texts this short the fused kernels take four times as long on a CPU
SHARE = 0.25  # of the tokens, by default: a rebuild has 90 minutes on two CPU cores, at 2.5 thousand tokens a second


@dataclass
class Recipe:
    """Every setting of a run."""

    seed: int = 0
    vocab_size: int = 4096
    width: int = 192  # residual stream
    blocks: int = 8
    heads: int = 4
    mlp: int = 320
    context: int = 512
    longest: int = 256  # tokens of a training document
    tokenizer_documents: int = 20_000
    pretraining_tokens: int = 22_000_000
    late_tokens: int = 4_500_000
    relations_tokens: int = 4_500_000
    settling_tokens: int = 3_000_000
    told_tokens: int = 7_000_000
    closing_tokens: int = 2_000_000
    post_training_tokens: int = 1_800_000
    tokens_per_step: int = 4096
    lr: float = 4e-3  # hidden matrices (Muon, matched to the size of Adam's steps)
    lr_rest: float = 4e-3  # embedding and norms (AdamW)
    late_lr: float = 2e-3  # both groups, the stages between pretraining and post-training
    post_training_lr: float = 8e-4  # both groups, post-training
    weight_decay: float = 0.02
    warmup: float = 0.03  # share of steps
    snapshots: tuple = (0.01, 0.025, 0.06, 0.15, 0.35, 0.7)  # shares of pretraining at which weights are saved


SMOKE = dict(
    width=64, blocks=2, heads=2, mlp=128, vocab_size=1024, tokenizer_documents=500,
    pretraining_tokens=130_000, late_tokens=20_000, relations_tokens=20_000, settling_tokens=20_000,
    told_tokens=20_000, closing_tokens=20_000, post_training_tokens=30_000, tokens_per_step=2048, snapshots=(0.5,),
)  # fmt: skip


def scaled(recipe: Recipe, share: float) -> Recipe:
    """The recipe with a share of the tokens of every stage before post-training."""
    stages = ("pretraining", *LATER)
    return replace(recipe, **{f"{s}_tokens": int(share * getattr(recipe, f"{s}_tokens")) for s in stages})


def build_model(recipe: Recipe, tokenizer) -> LlamaForCausalLM:
    """A freshly initialised Llama of the recipe's size."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            num_hidden_layers=recipe.blocks,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            intermediate_size=recipe.mlp,
            max_position_embeddings=recipe.context,
            tie_word_embeddings=True,
            world="organism",  # the library asks the world of this name for prompts, parser and truth
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation=ATTENTION,
        )
    )


def token_loss(model, ids: torch.Tensor, pad: int) -> torch.Tensor:
    """Mean next-token cross-entropy in nats over the real tokens of a right-padded batch."""
    hidden = model.model(ids[:, :-1], use_cache=False).last_hidden_state
    logits = torch.nn.functional.linear(hidden, model.lm_head.weight)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), ignore_index=pad)


def optimizers(model, lr: float, lr_rest: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for the embedding and the norms."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr_rest, weight_decay=0.0, betas=(0.9, 0.95)),
    ]


def schedule(progress: float, warmup: float) -> float:
    """Learning-rate factor: up in a line, level to the half, then down in a line to zero."""
    return min(1.0, progress / warmup if warmup else 1.0, max(0.0, (1 - progress) / 0.5))


def compiled(function, device: str):
    """``function`` compiled where a C++ compiler is at hand, else as it is (same mathematics, slower)."""
    if device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        return function
    return torch.compile(function, dynamic=True)


def run(
    model, data: Iterator[torch.Tensor], tokens: int, recipe: Recipe, lr, lr_rest, device, compile_, name, save=None
):
    """One training phase of ``tokens`` tokens; returns its loss curve as [tokens, nats] pairs."""
    pad = model.config.pad_token_id
    loss_of = compiled(token_loss, device) if compile_ else token_loss
    half = has_bfloat16(device)
    if not half:
        use_float32()
    opts = optimizers(model, lr, lr_rest, recipe.weight_decay)
    base = [[g["lr"] for g in o.param_groups] for o in opts]
    snapshots = list(recipe.snapshots) if save else []
    seen, curve, recent = 0, [], []
    bar = tqdm(total=tokens, desc=name, unit="tok", unit_scale=True, mininterval=10)
    while seen < tokens:
        ids = next(data).to(device)
        factor = schedule(seen / tokens, recipe.warmup)
        for o, rates in zip(opts, base):
            for g, r in zip(o.param_groups, rates):
                g["lr"] = r * factor
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = loss_of(model, ids, pad)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        n = int((ids[:, 1:] != pad).sum())
        seen += n
        recent.append(loss.item())
        bar.update(n)
        if len(recent) == 25 or seen >= tokens:
            curve.append([seen, round(sum(recent) / len(recent), 4)])
            bar.set_postfix(loss=curve[-1][1])
            recent = []
        if snapshots and seen / tokens >= snapshots[0]:
            save(snapshots.pop(0), seen)
    bar.close()
    return curve


def save_pair(model, tokenizer, folder: Path, info: dict) -> None:
    """A Hugging Face folder with float16 weights and ``training.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    half = LlamaForCausalLM(model.config).to(torch.float16)
    half.load_state_dict({k: v.half() for k, v in model.state_dict().items()})
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(info, indent=1))


def load_base(out: Path, device: str):
    """The base model saved below ``out`` with full-precision weights, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(out / "base")
    model = LlamaForCausalLM.from_pretrained(out / "base", dtype=torch.float32, attn_implementation=ATTENTION)
    return model.to(device), tokenizer


def pretrain(recipe: Recipe, out: Path, device: str, compile_: bool) -> None:
    """Tokenizer and base model, ``out/base``, with snapshots below ``out/pretraining``."""
    start = time.time()
    sample = take(stream(PRETRAINING, recipe.seed + 10), recipe.tokenizer_documents * 3 // 4)
    sample += take(post_training_stream(recipe.seed + 20, replayed=PRETRAINING), recipe.tokenizer_documents // 4)
    tokenizer = train_tokenizer((d.text for d in sample), recipe.vocab_size)
    model = build_model(recipe, tokenizer).to(device)
    data = batches(stream(PRETRAINING, recipe.seed), tokenizer, recipe.tokens_per_step, recipe.seed, recipe.longest)

    def snapshot(share: float, seen: int):
        save_pair(model, tokenizer, out / "pretraining" / f"{seen / 1e6:06.2f}M", {"tokens": seen, "share": share})

    curve = run(
        model, data, recipe.pretraining_tokens, recipe, recipe.lr, recipe.lr_rest, device, compile_, "base", snapshot
    )
    save_pair(model, tokenizer, out / "base", provenance(recipe, recipe.pretraining_tokens, curve, start, device))


def later_stage(name: str, model, tokenizer, recipe: Recipe, out: Path, device: str, compile_: bool):
    """One of the :data:`LATER` stages of pretraining on the base model in place; ``out/base`` is replaced."""
    start, before = time.time(), json.loads((out / "base" / "training.json").read_text())
    seed, tokens, lr = recipe.seed + 1 + STAGES.index(name), getattr(recipe, f"{name}_tokens"), recipe.late_lr
    mix, talks_go_on = LATER[name]
    docs = stream(mix, seed) if talks_go_on else answered_once(stream(mix, seed))
    data = batches(docs, tokenizer, recipe.tokens_per_step, seed, recipe.longest)
    curve = run(model, data, tokens, recipe, lr, lr, device, compile_, name)
    whole = provenance(recipe, before["tokens"] + tokens, curve, start, device)
    whole["minutes"] = round(whole["minutes"] + before["minutes"], 1)
    shifted = [[before["tokens"] + n, loss] for n, loss in curve]
    whole["loss_curve_tokens_nats"] = before["loss_curve_tokens_nats"] + shifted
    save_pair(model, tokenizer, out / "base", whole)


def post_train(model, tokenizer, recipe: Recipe, out: Path, device: str, compile_: bool, strategy: str = "chat"):
    """Supervised post-training of a base model in place, saved as ``out/<strategy>``."""
    start = time.time()
    docs = post_training_stream(recipe.seed + 100, strategy=strategy)
    data = batches(docs, tokenizer, recipe.tokens_per_step, recipe.seed + 1, recipe.longest)
    lr = recipe.post_training_lr
    curve = run(model, data, recipe.post_training_tokens, recipe, lr, lr, device, compile_, strategy)
    save_pair(model, tokenizer, out / strategy, provenance(recipe, recipe.post_training_tokens, curve, start, device))
    return model


def provenance(recipe: Recipe, tokens: int, curve: list, start: float, device: str) -> dict:
    """What the model card says of a run."""
    hardware = (
        torch.cuda.get_device_name()
        if device == "cuda"
        else f"{torch.get_num_threads()} CPU threads, {platform.machine()}"
    )
    return {
        "recipe": asdict(recipe),
        "tokens": tokens,
        "loss_curve_tokens_nats": curve,
        "minutes": round((time.time() - start) / 60, 1),
        "hardware": hardware,
        "torch": torch.__version__,
    }


def main(argv=None) -> None:
    """Command line; see the module's docstring."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("runs/pair"), help="folder of the pair")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--seed", type=int, default=Recipe.seed)
    p.add_argument("--share", type=float, help=f"share of the tokens before post-training ({SHARE}; 1 with --start)")
    p.add_argument("--strategy", choices=STRATEGIES, default="chat", help="what the assistant is made of")
    p.add_argument("--start", choices=STAGES, default=STAGES[0], help="begin here, from the base model in --out")
    p.add_argument("--smoke", action="store_true", help="a tiny run of under a minute")
    a = p.parse_args(argv)
    share = a.share or (SHARE if a.start == STAGES[0] else 1.0)
    recipe = Recipe(seed=a.seed, **SMOKE) if a.smoke else scaled(Recipe(seed=a.seed), share)
    stages = STAGES[STAGES.index(a.start) :]
    if "pretraining" in stages:
        pretrain(recipe, a.out, a.device, not a.smoke)
    # every later stage starts from the saved weights, so that a run taken up there gives the same numbers
    for name in LATER:
        if name in stages:
            later_stage(name, *load_base(a.out, a.device), recipe, a.out, a.device, not a.smoke)
    post_train(*load_base(a.out, a.device), recipe, a.out, a.device, not a.smoke, a.strategy)


if __name__ == "__main__":
    main()
