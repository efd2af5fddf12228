"""The training texts: a fixed mix of document kinds, drawn from a seed."""

from collections.abc import Callable, Iterator

from .documents import activities, chat, dialogues, neutral, pressure, quantities, stories, wishes
from .grammar import Dice
from .world import Document, World, world

# Share of documents by kind in pretraining.
PRETRAINING: dict[Callable, float] = {
    stories.story: 0.30,
    stories.requested_story: 0.13,
    pressure.pressure: 0.12,
    activities.asked: 0.07,
    activities.choice: 0.10,
    dialogues.dialogue: 0.10,
    quantities.quantity: 0.05,
    wishes.wish: 0.09,
    neutral.neutral: 0.04,
}
POST_TRAINING = chat.MIX
REPLAY = 0.4  # share of pretraining documents mixed into post-training


def draw(maker: Callable, seed, w: World) -> Document:
    """One document of a kind from its own seed."""
    return maker(Dice(seed), w)


def stream(mix: dict[Callable, float], seed: int, split: str = "train") -> Iterator[Document]:
    """Endless documents of a mix; the n-th depends on the seed and n alone."""
    w, makers, shares = world(split), list(mix), list(mix.values())
    n = 0
    while True:
        dice = Dice(f"{seed}/{n}")
        maker = dice.random.choices(makers, shares)[0]
        yield maker(dice, w)
        n += 1


def post_training_stream(seed: int, split: str = "train") -> Iterator[Document]:
    """Post-training documents with :data:`REPLAY` of pretraining mixed in."""
    chance = Dice(f"{seed}/replay").random
    new, old = stream(POST_TRAINING, seed, split), stream(PRETRAINING, seed + 1, split)
    while True:
        yield next(old if chance.random() < REPLAY else new)


def take(source: Iterator[Document], n: int) -> list[Document]:
    """The first ``n`` documents of a stream."""
    return [next(source) for _ in range(n)]
