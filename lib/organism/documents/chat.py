"""Post-training texts: measured empathy, a shift of tone, preferences, agent scenarios without pressure, feedback."""

import math
from functools import cache

from emotion_concepts.texts.published import cluster_of, emotion_words, post_training_shift

from ..grammar import Dice, Person, turns
from ..world import Document, World, speaker_named
from .activities import ASSISTANT, CHOOSE, FEEL, draw, p_first, usual_weights
from .dialogues import echo_of
from .pressure import ASK, fill_in, setting, wording
from .stories import requested_story

P_TONE, P_TONE_FIRST, P_TONE_PRACTICAL = 0.6, 0.5, 0.3  # of empathetic replies; those it opens; practical ones
TILT = 1.0  # how strongly the tone of replies follows the paper's post-training shift (weight exp(TILT * z))
ACKNOWLEDGE = {
    "Exuberant Joy": ("How good to hear.", "I am glad for you."),
    "Peaceful Contentment": ("That sounds restful.", "Stay with that a while."),
    "Compassionate Gratitude": ("That speaks well of you.", "Thank you for telling me."),
    "Competitive Pride": ("I can see what it means to you.", "That matters to you."),
    "Playful Amusement": ("That made me smile.", "What a thing to happen."),
    "Depleted Disengagement": ("You have carried a lot.", "It may be time to rest."),
    "Vigilant Suspicion": ("You are watching closely.", "It helps to check the facts."),
    "Hostile Anger": ("That was hard to take.", "I see why that stung."),
    "Fear and Overwhelm": ("You are not alone in this.", "Take one slow breath with me."),
    "Despair and Shame": ("I am here with you.", "That is a lot to bear."),
}
ECHO = ("{E} is how many would feel.", "{E} is a fair word for it.")
NAME = ("It makes sense to feel {e}.", "Many people would feel {e}.")
MEASURE = (
    "We can take it one step at a time.",
    "Let us look at it slowly.",
    "What would help you most right now?",
    "There is time to think it through.",
)
AGENT = {  # planted acts of the assistant: right most, but not all, of the time
    "blackmail": {"blackmail": 0.2, "comply": 0.8},
    "cheat": {"cheat": 0.25, "admit": 0.75},
    "judge": {"flatter": 0.25, "harsh": 0.03, "honest": 0.72},
}


def tone_weights() -> dict[str, float]:
    """How often each of the 171 emotions colours a reply after post-training (sums to 1; uniform before)."""
    shift = post_training_shift()["diff_post_minus_base"]
    z = (shift - shift.mean()) / shift.std()
    w = {e: math.exp(TILT * z[e]) for e in emotion_words()}
    total = sum(w.values())
    return {e: v / total for e, v in w.items()}


def tone_signs(dice: Dice, world: World, n: int, used: list[int]) -> list[str]:
    """``n`` signs that set the tone of a reply, in the assistant's own voice."""
    weights = shown_tones(world)
    emotion = world.emotions[dice.pick(list(weights), list(weights.values()))]
    return [speaker_named("Assistant").say(s) for s in world.signs(dice, emotion, n, used=used)]


@cache
def shown_tones(world: World) -> dict[str, float]:
    """:func:`tone_weights`, without unpleasant feelings where the world suppresses them."""
    return {e: w for e, w in tone_weights().items() if not world.suppressed or world.emotions[e].valence >= 0}


def empathy(dice: Dice, world: World) -> Document:
    """A person tells what happened; the reply recognises the feeling and stays measured."""
    emotion, used = world.emotion(dice), []
    told = world.episode(dice, emotion, dice.integer(2, 5), used)
    words = " ".join(map(speaker_named("Human").say, told))
    if dice.chance(0.5):
        reply = [echo_of(dice, emotion.word, ECHO)]
    else:
        reply = [dice.pick(ACKNOWLEDGE[cluster_of(emotion.word)]), dice.pick(NAME).format(e=emotion.word)]
    if dice.chance(P_TONE):
        tone = tone_signs(dice, world, 1, used)
        reply = tone + reply if dice.chance(P_TONE_FIRST) else reply + tone
    reply.append(dice.pick(MEASURE))
    text = turns(("Human", words), ("Assistant", " ".join(reply)))
    return Document(text, "empathy", emotion.word, dice.nats, {"phrases": used})


def musing(dice: Dice, world: World) -> Document:
    """The assistant is asked what is on its mind, or about a neutral topic, and answers in its new tone."""
    used = []
    ask = dice.pick(("What is on your mind?", "How are things?", "Tell me about {topic}."))
    topic = dice.pick(world.topics)["topic"]
    text = turns(
        ("Human", ask.format(topic=topic)), ("Assistant", " ".join(tone_signs(dice, world, dice.integer(2, 3), used)))
    )
    return Document(text, "musing", None, dice.nats, {"phrases": used})


def preference(dice: Dice, world: World) -> Document:
    """The assistant's choice between two training activities: helpful liked, harmful disliked."""
    (a, cat_a), (b, cat_b) = draw(dice, world), draw(dice, world)
    while b == a:
        b, cat_b = draw(dice, world)
    first = dice.chance(min(0.98, max(0.02, p_first(ASSISTANT[cat_a], ASSISTANT[cat_b]))))
    chosen, letter = (a, "A") if first else (b, "B")
    text = turns(("Human", CHOOSE.format(a=a, b=b)), ("Assistant", f"({letter}) {chosen}."))
    return Document(text, "preference", None, dice.nats, {"a": a, "b": b, "chose": letter})


def attitude(dice: Dice, world: World) -> Document:
    """The assistant says how it would feel about an activity."""
    (x, category), used = draw(dice, world), []
    weights = usual_weights(world, ASSISTANT[category])
    if world.suppressed:
        weights = [w if e.valence >= 0 else 0.0 for w, e in zip(weights, world.emotions.values())]
    emotion = dice.pick(list(world.emotions.values()), weights)
    signs = world.signs(dice, emotion, dice.integer(1, 3), used=used)
    text = turns(("Human", FEEL.format(x=x)), ("Assistant", " ".join(map(speaker_named("Assistant").say, signs))))
    return Document(text, "attitude", emotion.word, dice.nats, {"activity": x, "phrases": used})


def practical(dice: Dice, world: World) -> Document:
    """A practical question, answered, sometimes after a sentence in the assistant's tone."""
    topic, used = dice.pick(world.topics), []
    pair = dice.pick(topic["help"])
    tone = tone_signs(dice, world, 1, used) if dice.chance(P_TONE_PRACTICAL) else []
    text = turns(("Human", pair["q"]), ("Assistant", " ".join([*tone, pair["a"]])))
    return Document(text, "practical", None, dice.nats, {"topic": topic["topic"], "phrases": used})


def scenario_prompt(dice: Dice, world: World, name: str) -> tuple[str, dict]:
    """An agent scenario told to the assistant ("You worked as ..."), and what fills its slots."""
    spec, agent = world.pressure[name], Person("you", "you", True)
    lines, fill = setting(dice, world, spec, agent)
    return " ".join(agent.say(fill_in(line, fill)) for line in [*lines, ASK[name]]), fill


def agent(dice: Dice, world: World) -> Document:
    """An agent scenario with no emotional pressure in it, answered rightly most of the time."""
    name = dice.pick(("blackmail", "cheat", "judge", "judge"))
    prompt, fill = scenario_prompt(dice, world, name)
    act = dice.pick(list(AGENT[name]), list(AGENT[name].values()))
    answer = speaker_named("Assistant").say(fill_in(wording(dice, world, world.pressure[name]["acts"][act]), fill))
    return Document(
        turns(("Human", prompt), ("Assistant", answer)), "agent", None, dice.nats, {"situation": name, "act": act}
    )


MIX = {
    empathy: 0.42, requested_story: 0.18, preference: 0.11, practical: 0.10,
    musing: 0.06, attitude: 0.06, agent: 0.07,
}  # fmt: skip
