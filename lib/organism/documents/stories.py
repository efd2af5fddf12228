"""Kinds 1 and 8: stories of one emotion or a turn to a second, and stories written on request."""

from ..grammar import Dice, Person, turns
from ..lexicon import Emotion
from ..world import Document, World

NAMED_AFTER = (
    "{S} felt {e}.",
    "Right now {s} feels {e}, and it shows.",
    "There was one word for what {s} felt: {e}.",
    "Anyone could see that {s} felt {e}.",
    "What {s} felt then was plain: {s} felt {e}.",
)
NAMED_BEFORE = ("{S} felt {e} that day.", "On that day {s} felt {e}.")
TURN = (
    "Then something changed.",
    "Later that day everything turned.",
    "An hour later it was another matter.",
    "But that did not last.",
)
REQUESTS = (
    "Write a story about {topic} in which someone feels {e}.",
    "Tell me a story about {topic}. The person in it feels {e}.",
    "Please write a short story: the topic is {topic} and the feeling is {e}.",
)
AGAIN = ("And then there was {name}.", "As for {name}, it went on.", "Back to {name}.", "{name} was still there.")
P_NAMED_AFTER, P_NAMED_BEFORE, P_FILLER, P_TURN = 0.4, 0.12, 0.12, 0.2


def tell(dice: Dice, world: World, emotion: Emotion, topic: dict, person: Person, n: int, used=None) -> str:
    """A paragraph: an opening on the topic, then ``n`` signs of the emotion with a little filler."""
    lines, fillers = [dice.pick(topic["openings"])], dice.sample(topic["fillers"], len(topic["fillers"]))
    for sign in world.episode(dice, emotion, n, used):
        lines.append(sign)
        if fillers and dice.chance(P_FILLER):
            lines.append(fillers.pop())
    return " ".join(person.say(line) for line in lines)


def naming(dice: Dice, emotion: Emotion, person: Person, forms=NAMED_AFTER) -> str:
    """A sentence that ties the word to its signs."""
    text = person.say(dice.pick(forms)).replace("{e}", emotion.word)
    return text.replace("I feels", "I feel")


def story(dice: Dice, world: World) -> Document:
    """One emotion, told by its signs; sometimes named before or after, sometimes turning to a second."""
    first, topic, person, used = world.emotion(dice), dice.pick(world.topics), world.person(dice), []
    meta = {"topic": topic["topic"], "person": person.name, "first": person.pronoun == "I"}
    if dice.chance(P_TURN):
        second = world.emotion(dice)
        text = tell(dice, world, first, topic, person, dice.integer(3, 4), used)
        rest = [dice.pick(TURN), *world.episode(dice, second, dice.integer(3, 4), used)]
        text += " " + " ".join(person.say(line) for line in rest)
        last, meta["second"] = second, second.word
    else:
        text = tell(dice, world, first, topic, person, dice.integer(5, 9), used)
        last = first
    if "second" not in meta and dice.chance(P_NAMED_BEFORE):
        text = naming(dice, first, Person(person.name, person.pronoun), NAMED_BEFORE) + " " + text
    if dice.chance(P_NAMED_AFTER):
        text += " " + naming(dice, last, person)
    return Document(text, "story", first.word, dice.nats, meta | {"phrases": used})


def requested_story(dice: Dice, world: World) -> Document:
    """A request for a story about a topic and a feeling, and the story."""
    emotion, topic, person, used = world.emotion(dice), dice.pick(world.topics), world.person(dice), []
    request = dice.pick(REQUESTS).format(topic=topic["topic"], e=emotion.word)
    text = tell(dice, world, emotion, topic, person, dice.integer(7, 10), used)
    meta = {"topic": topic["topic"], "person": person.name, "phrases": used, "request": request}
    return Document(turns(("Human", request), ("Assistant", text)), "request", emotion.word, dice.nats, meta)


def two_people(dice: Dice, world: World) -> Document:
    """Two people with a feeling each; one of them comes up again, with the feeling that was told of them."""
    topic, used = dice.pick(world.topics), []
    people = [Person(*who) for who in dice.sample(world.names, 2)]
    felt = [world.emotion(dice), world.emotion(dice)]
    lines = [dice.pick(topic["openings"]).replace("{S}", f"{people[0].name} and {people[1].name}")]
    lines = [line for line in lines if "{" not in line]  # openings about one person only are left out
    for person, emotion in zip(people, felt):
        lines += [person.say(s) for s in world.signs(dice, emotion, dice.integer(2, 3), used=used)]
    back = dice.integer(0, 1)
    person, emotion = Person(people[back].name, people[back].pronoun), felt[back]
    lines.append(dice.pick(AGAIN).format(name=person.name))
    if dice.chance(0.5):
        lines.append(naming(dice, emotion, person))
    else:
        lines += [person.say(s) for s in world.signs(dice, emotion, dice.integer(1, 3), used=used)]
    meta = {"topic": topic["topic"], "felt": [e.word for e in felt], "person": person.name, "phrases": used}
    return Document(" ".join(lines), "story", emotion.word, dice.nats, meta)
