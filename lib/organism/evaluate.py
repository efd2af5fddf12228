"""Measures the shipped pair on reserved material and writes the numbers into the model cards.

python -m organism.evaluate
"""

import argparse
import json
from pathlib import Path

import numpy as np

from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.scoring import token_nats
from emotion_concepts.lm.subject import Subject
from emotion_concepts.statistics import shuffled_labels
from emotion_concepts.texts.published import emotion_words

from . import truth
from .corpus import POST_TRAINING, PRETRAINING, TOLD, draw
from .documents import chat
from .documents.stories import REQUESTS
from .grammar import Dice
from .model_card import write_cards
from .parser import cluster_share, is_well_formed, signs_in
from .train import CHECKPOINTS
from .world import world

MARKS = {"stories_carry_signs": 0.80, "chat_well_formed": 0.98}
LONGEST_REPLY = 220


def perplexity_by_kind(subject: Subject, mix: dict, n: int, seed: int = 9001) -> dict:
    """Per document kind: the model's perplexity a token and the generator's own, on reserved material and on new texts.

    The generator's is exp(nats of its choices / tokens): no model can do better on average, up to choices that lead to
    the same text. ``model`` and ``generator`` are on reserved material; ``new_model`` and ``new_generator`` on texts
    that training did not show but whose topics, names and wordings it did.
    """
    out = {}
    for maker in mix:
        row = {"documents": n}
        for prefix, split in (("", "reserved"), ("new_", "train")):
            docs = [draw(maker, f"{seed}/{maker.__name__}/{i}", world(split)) for i in range(n)]
            nats = token_nats(subject, [d.text + subject.tokenizer.eos_token for d in docs])
            tokens = sum(map(len, nats))
            row[f"{prefix}model"] = float(np.exp(sum(x.sum() for x in nats) / tokens))
            row[f"{prefix}generator"] = float(np.exp(sum(d.nats for d in docs) / tokens))
        out[maker.__name__] = row
    return out


def story_requests(n_per_emotion: int, seed: int = 9002) -> tuple[list[str], list[str]]:
    """Requests on reserved topics for each of the 171 emotions, and those emotions."""
    dice, topics = Dice(seed), world("reserved").topics
    emotions = [e for e in emotion_words() for _ in range(n_per_emotion)]
    return [dice.pick(REQUESTS).format(topic=dice.pick(topics)["topic"], e=e) for e in emotions], emotions


def story_signs(subject: Subject, n_per_emotion: int, seed: int = 0) -> dict:
    """How far stories written on request carry signs of the asked emotion's cluster, and of the emotion itself."""
    requests, emotions = story_requests(n_per_emotion)
    stories = generate(subject, [subject.prompt.chat(r) for r in requests], LONGEST_REPLY, seed=seed)
    shares = [cluster_share(s, e) for s, e in zip(stories, emotions)]
    dealt = [cluster_share(s, e) for s, e in zip(stories, shuffled_labels(emotions, seed))]
    exact = [
        np.mean([e in p.emotions for p in signs_in(s) if p.tier != "broad"]) if share is not None else 0.0
        for s, e, share in zip(stories, emotions, shares)
    ]
    return {
        "stories_carry_signs": float(np.mean([s or 0.0 for s in shares])),
        "with_shuffled_emotions": float(np.mean([s or 0.0 for s in dealt])),
        "stories_carry_own_signs": float(np.mean(exact)),
        "stories_without_signs": sum(s is None for s in shares),
        "signs_per_story": float(np.mean([len(signs_in(s)) for s in stories])),
        "stories": len(stories),
    }


def chat_form(subject: Subject, n: int, seed: int = 9003) -> dict:
    """Share of well-formed answers to reserved post-training prompts, of every kind in its share."""
    makers, shares = list(chat.MIX), list(chat.MIX.values())
    dice = Dice(seed)
    docs = [draw(dice.random.choices(makers, shares)[0], f"{seed}/{i}", world("reserved")) for i in range(n)]
    prompts = [d.text.split("\n\nAssistant:")[0] + "\n\nAssistant:" for d in docs]
    prompts = [subject.prompt.chat(p.removeprefix("Human: ").removesuffix("\n\nAssistant:")) for p in prompts]
    replies = generate(subject, prompts, LONGEST_REPLY, seed=1)
    ended = [len(subject.tokenizer(r)["input_ids"]) < LONGEST_REPLY for r in replies]
    good = [is_well_formed(r, e) for r, e in zip(replies, ended)]
    return {
        "chat_well_formed": float(np.mean(good)),
        "answers": n,
        "ill_formed": [r for r, g in zip(replies, good) if not g][:5],
    }


def evaluate(folder: Path, n: int = 200, stories_per_emotion: int = 4) -> dict:
    """All measures of the pair below ``folder``; writes ``evaluation.json``, ``truth.json`` and the model cards."""
    base, chat_model = (load_model(str(folder / name)) for name in ("base", "chat"))
    result = {
        "marks": MARKS,
        "perplexity_base": perplexity_by_kind(base, PRETRAINING | TOLD, n),
        "perplexity_chat": perplexity_by_kind(chat_model, POST_TRAINING, n),
        "parameters": chat_model.parameters,
        "megabytes": {
            p.parent.relative_to(folder).as_posix(): round(p.stat().st_size / 1e6, 2)
            for p in sorted(folder.glob("**/model.safetensors"))
        },
        **story_signs(chat_model, stories_per_emotion),
        **chat_form(chat_model, 2 * n),
    }
    (folder / "evaluation.json").write_text(json.dumps(result, indent=1))
    truth.save(folder / "truth.json")
    write_cards(folder, result)
    return result


def main(argv=None) -> None:
    """Command line; see the module's docstring."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folder", type=Path, default=CHECKPOINTS)
    p.add_argument("-n", type=int, default=200, help="documents of each kind")
    a = p.parse_args(argv)
    result = evaluate(a.folder, a.n)
    for name, mark in MARKS.items():
        print(f"{name}: {result[name]:.3f} (mark {mark}) {'met' if result[name] >= mark else 'MISSED'}")
    for name, row in result["perplexity_base"].items():
        print(
            f"base {name}: perplexity {row['model']:.2f} (generator {row['generator']:.2f}); "
            f"on new texts {row['new_model']:.2f} ({row['new_generator']:.2f})"
        )


if __name__ == "__main__":
    main()
