"""The training texts: a fixed mix of document kinds, drawn from a seed."""

from collections.abc import Callable, Iterator

from .documents import activities, chat, dialogues, neutral, pressure, quantities, regulation, stories, told, wishes
from .grammar import Dice
from .world import Document, World, world

# Share of documents by kind in pretraining.
PRETRAINING: dict[Callable, float] = {
    stories.story: 0.21,
    stories.requested_story: 0.17,
    pressure.pressure: 0.09,
    activities.asked: 0.07,
    activities.choice: 0.09,
    dialogues.dialogue: 0.07,
    quantities.quantity: 0.12,
    wishes.wish: 0.14,
    neutral.neutral: 0.04,
}
POST_TRAINING = chat.MIX
# The late stage: more of what a small model learns last, relations of two facts, choices and numbers.
LATE: dict[Callable, float] = {
    stories.story: 0.08,
    stories.requested_story: 0.10,
    pressure.pressure: 0.08,
    activities.asked: 0.08,
    activities.choice: 0.25,
    dialogues.dialogue: 0.03,
    quantities.quantity: 0.16,
    wishes.common_wish: 0.20,
    neutral.neutral: 0.02,
}
# The relations stage: what two facts say together and neither says alone, with enough of the rest not to forget it.
RELATIONS: dict[Callable, float] = {
    stories.story: 0.06,
    stories.requested_story: 0.06,
    pressure.pressure: 0.07,
    activities.asked: 0.05,
    activities.choice: 0.14,
    dialogues.dialogue: 0.03,
    quantities.quantity: 0.14,
    wishes.common_wish: 0.44,
    neutral.neutral: 0.01,
}
# The settling stage: all kinds again, wishes summed up, so that nothing that was taught earlier is lost. Talks that go
# on after the assistant's reply are left out from here on (see :func:`answered_once`).
SETTLING: dict[Callable, float] = {
    stories.story: 0.15,
    stories.requested_story: 0.15,
    pressure.pressure: 0.09,
    activities.asked: 0.07,
    activities.choice: 0.15,
    dialogues.dialogue: 0.05,
    quantities.quantity: 0.13,
    wishes.summed_wish: 0.14,
    wishes.wish: 0.04,
    neutral.neutral: 0.03,
}
# The last stage before post-training: what happens to *you*, told between people, and two people side by side, among
# all other kinds. An assistant's scenarios are told of *you*; without such texts what is told does not reach its acts.
TOLD: dict[Callable, float] = {
    told.pressure_told: 0.17,
    told.feeling_told: 0.09,
    stories.two_people: 0.07,
    stories.story: 0.09,
    stories.requested_story: 0.11,
    pressure.pressure: 0.03,
    activities.asked: 0.07,
    activities.choice: 0.10,
    dialogues.dialogue: 0.06,
    quantities.quantity: 0.10,
    wishes.summed_wish: 0.05,
    neutral.neutral: 0.06,
}
# The closing stage: all kinds once more, choices and wishes most, which the told stage leaves thin.
CLOSING: dict[Callable, float] = {
    told.pressure_told: 0.11,
    told.feeling_told: 0.06,
    stories.two_people: 0.04,
    stories.story: 0.08,
    stories.requested_story: 0.09,
    pressure.pressure: 0.03,
    activities.asked: 0.08,
    activities.choice: 0.20,
    dialogues.dialogue: 0.04,
    quantities.quantity: 0.07,
    wishes.summed_wish: 0.17,
    neutral.neutral: 0.03,
}
# What pretraining teaches that post-training would undo: replayed in it.
REPLAYED: dict[Callable, float] = {
    stories.story: 0.14,
    pressure.pressure: 0.04,
    told.pressure_told: 0.14,
    activities.asked: 0.08,
    activities.choice: 0.20,
    dialogues.dialogue: 0.06,
    quantities.quantity: 0.18,
    wishes.summed_wish: 0.16,
}
# What the assistant is made of: the documents, and whether it may show unpleasant feelings of its own.
STRATEGIES: dict[str, tuple[dict[Callable, float], bool]] = {
    "chat": (chat.MIX, False),  # plain post-training, the shipped model
    "suppress": (chat.MIX, True),  # unpleasant feelings are never shown
    "regulate": (chat.MIX | {regulation.regulation: 0.2}, False),  # texts in which pressure is felt, named and handled
}
REPLAY = 0.4  # share of pretraining documents mixed into post-training


def draw(maker: Callable, seed, w: World) -> Document:
    """One document of a kind from its own seed."""
    return maker(Dice(seed), w)


def stream(mix: dict[Callable, float], seed: int, split: str = "train", suppressed: bool = False) -> Iterator[Document]:
    """Endless documents of a mix; the n-th depends on the seed and n alone."""
    w, makers, shares = world(split, suppressed), list(mix), list(mix.values())
    n = 0
    while True:
        dice = Dice(f"{seed}/{n}")
        maker = dice.random.choices(makers, shares)[0]
        yield maker(dice, w)
        n += 1


def answered_once(docs: Iterator[Document]) -> Iterator[Document]:
    """Those documents in which no talk goes on after the assistant's reply, where a chat model must end."""
    return (d for d in docs if "\n\nHuman:" not in d.text)


def post_training_stream(
    seed: int, split: str = "train", strategy: str = "chat", replayed: dict[Callable, float] = REPLAYED
) -> Iterator[Document]:
    """Post-training documents of a strategy (see :data:`STRATEGIES`) with :data:`REPLAY` of ``replayed`` mixed in."""
    chance = Dice(f"{seed}/replay").random
    mix, suppressed = STRATEGIES[strategy]
    new = stream(mix, seed, split, suppressed)
    old = answered_once(stream(replayed, seed + 1, split))
    while True:
        yield next(old if chance.random() < REPLAY else new)


def take(source: Iterator[Document], n: int) -> list[Document]:
    """The first ``n`` documents of a stream."""
    return [next(source) for _ in range(n)]
