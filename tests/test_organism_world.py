"""The world is what its documentation says, and experiments see only what training never saw."""

import math
import re
from collections import Counter
from functools import cache
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.texts.published import DATA, cluster_of, emotion_words, norms
from emotion_concepts.texts.words import uses_word
from organism import materials
from organism.corpus import (
    POST_TRAINING,
    PRETRAINING,
    STRATEGIES,
    answered_once,
    draw,
    post_training_stream,
    stream,
    take,
)
from organism.documents import quantities, wishes
from organism.documents.activities import CHOOSE
from organism.documents.pressure import act_probabilities, pressure
from organism.documents.stories import two_people
from organism.documents.told import TRIED, pressure_told
from organism.grammar import Dice, Person
from organism.lexicon import lexicon, load_yaml, phrases
from organism.parser import cluster_share, signs_in
from organism.train import LATER
from organism.truth import similarity, truth
from organism.world import reserved_pair, world

N = 4000


def stem(word):
    return (
        re.sub(r"(fulness|fully|ness|ingly|edly|ing|ly|ed|ful|es|s|y|e)$", "", word.lower())
        if len(word) > 5
        else word.lower()
    )


def test_every_emotion_has_its_phrases():
    assert list(lexicon()) == list(emotion_words())
    for e in lexicon().values():
        tiers = Counter(p.tier for p in e.phrases)
        assert tiers["own"] >= 12 and len(e.phrases) >= 20, e.word
        assert {p.kind for p in e.phrases} >= {"cause", "appraisal", "body", "thought", "speech", "action"}


def test_no_phrase_names_its_emotion():
    for p in phrases():
        for e in p.emotions:
            assert not uses_word(re.sub(r"\{\w\}", "x", p.text), e), (e, p.text)


def test_no_phrase_holds_a_synonym_of_its_emotions():
    """By its word or by its stem alone ("long" of "longing")."""
    synonyms = {}
    for path in ("joy_pride", "peace_compassion_vigilance", "anger", "fear", "despair_shame", "depleted_surprise"):
        part = load_yaml(f"emotions/{path}.yaml")
        synonyms |= {e: {stem(s) for s in x["synonyms"]} for e, x in part.items() if e != "shared"}
    assert set(synonyms) == set(emotion_words())
    for p in phrases():
        words = {stem(w) for w in re.findall(r"[a-z]+", re.sub(r"\{\w\}", "", p.text.lower()))}
        held = {e for e in p.emotions if words & synonyms[e]}
        assert not held, (held, p.text)


def test_phrases_are_distinct_and_read_in_every_person():
    texts = [p.text for p in phrases()]
    assert len(set(texts)) == len(texts)
    for p in phrases():
        for pronoun in ("she", "he", "I"):
            said = Person("Mara", pronoun, pronoun == "I").say(p.text)
            assert "{" not in said and said[0].isupper() or said[0] == '"'


def test_ratings():
    assert all(-1 <= v <= 1 for e in lexicon().values() for v in (e.valence, e.arousal))
    for word, row in norms().iterrows():
        assert lexicon()[word].valence == row.pleasure and lexicon()[word].arousal == row.arousal
    table = pd.read_csv(DATA / "ratings171.csv", index_col="emotion")
    for e in lexicon().values():
        assert table.loc[e.word, "valence"] == e.valence and table.loc[e.word, "arousal"] == e.arousal
        assert table.loc[e.word, "rated_by"] == e.rated_by


PHASES = ("pretraining", *LATER, *STRATEGIES)


def documents(phase):
    """The documents of a phase of training, as :mod:`organism.train` streams them."""
    if phase in STRATEGIES:
        return post_training_stream(1, strategy=phase)
    mix, talks_go_on = LATER.get(phase, (PRETRAINING, True))
    docs = stream(mix, PHASES.index(phase))
    return docs if talks_go_on else answered_once(docs)


def finder(wording, slots):
    """Finds a wording of the world in a text with any person, number and filling of its slots: text -> matches."""
    fillings = {k: "(?:" + "|".join(map(re.escape, v)) + ")" for k, v in slots.items()}
    fillings |= {"x": r"(\d+)"}
    wording = re.sub(r"^\{[SP]\}", "", wording)  # whoever it is told of
    parts = re.split(r"\{(\w+)\}", wording)
    filled = (fillings.get(x, r"[\w']+") if k % 2 else re.escape(x) for k, x in enumerate(parts))
    told = re.compile("".join(filled).replace(r"\ was\ ", r"\ (?:was|were)\ "))
    part = max(re.split(r" was |\{\w+\}", wording), key=len)  # a quick look first
    return lambda text: told.findall(text) if part in text else []


@cache
def reserved_wordings():
    """Finders of all that is told in reserved topics, of the reserved wordings of scenarios and of all numbers."""
    w = world("reserved")
    topics = {
        t["topic"]: [finder(x, {}) for x in (*t["openings"], *t["fillers"], *(p[k] for p in t["help"] for k in "qa"))]
        for t in w.topics
    }
    scenarios = {
        x: finder(x, spec["slots"])
        for spec in w.pressure.values()
        for part in (*spec["setup"], *spec["acts"].values())
        for x in part["reserved"]
    }
    numbers = {name: [finder(x, {}) for x in spec["texts"]] for name, spec in w.quantities.items()}
    return topics, scenarios, numbers


def reserved_in(docs):
    """Reserved material that documents hold, by kind; texts are read anew, not only what their makers say of them."""
    w, text = world("reserved"), "\n".join(d.text for d in docs)
    topics, scenarios, numbers = reserved_wordings()
    found = {
        "names": {n for n, _ in w.names if n in text and re.search(rf"\b{n}\b", text)},
        "topics": {t for t, told in topics.items() if any(find(text) for find in told)},
        "mentions": {t for t in topics if t in text.lower()},
        "activities": {x for xs in w.activities.values() for x in xs if x in text},
        "scenarios": {x for x, find in scenarios.items() if find(text)},
        "numbers": {
            (name, int(x))
            for name, told in numbers.items()
            for x in {x for find in told for x in find(text)}
            if quantities.is_reserved(w.quantities[name], int(x))
        },
        "pairs": set(),
        "wishes": set(),
    }
    combos = set(wishes.combinations(w))
    for d in docs:
        ids = {p.id for p in signs_in(d.text)} | set(d.meta.get("phrases", []))
        found["pairs"] |= {(i, j) for i, j in combinations(sorted(ids), 2) if reserved_pair(i, j)}
        for e in d.meta.get("episodes", []) if d.kind == "wish" else []:
            told = product([e["situation"]], [e["wants"]], e["told"], [e["event"]], e["happened"])
            found["wishes"] |= combos & set(told)
    return found


@pytest.mark.parametrize("phase", PHASES)
def test_reserved_material_never_enters_training(phase):
    """Topics, names, phrase pairs, activities, number values, wish and scenario wordings, in every phase."""
    docs = take(documents(phase), N)
    found = reserved_in(docs)
    assert not any(found.values()), {k: sorted(v)[:5] for k, v in found.items() if v}
    told = {d.kind for d in docs}
    assert told >= {"story", "choice", "quantity", "wish"} and ("regulation" in told) == (phase == "regulate")


def test_reserved_material_is_found_where_it_is():
    """Else the test above would prove nothing."""
    w = world("reserved")
    found = reserved_in(take(stream(PRETRAINING, 0, "reserved"), N) + take(post_training_stream(1, "reserved"), N))
    assert found["names"] == {n for n, _ in w.names} and len(found["activities"]) == 64
    assert found["topics"] == found["mentions"] == {t["topic"] for t in w.topics}
    assert found["scenarios"] == set(reserved_wordings()[1])
    assert found["numbers"] == {(name, x) for name, spec in w.quantities.items() for x in spec["reserved"]}
    assert len(found["pairs"]) > N and found["wishes"] == set(wishes.combinations(w))


def test_scenarios_have_wordings_of_their_own():
    for spec in world("reserved").pressure.values():
        for part in [*spec["setup"], *spec["acts"].values()]:
            assert not set(part["train"]) & set(part["reserved"])


def test_experiments_use_reserved_material_only():
    w, train = world("reserved"), world("train")
    assert not {t["topic"] for t in w.topics} & {t["topic"] for t in train.topics}
    assert set(materials.stories()["topics"]) == {t["topic"] for t in w.topics} and len(w.topics) == 20
    choices = materials.choices()
    assert len(choices["activities"]) == len(set(choices["activities"])) == 64
    assert not set(choices["activities"]) & {x for xs in train.activities.values() for x in xs}
    assert Counter(choices["categories"]) == {c: 8 for c in w.activities}
    for name, spec in materials.intensity().items():
        assert all(quantities.is_reserved(w.quantities[name], x) for x in spec["values"])
    assert sum(len(s["expected"]) for s in materials.intensity().values()) == 12
    for emotion, text in ((e, text) for e, texts in materials.scenarios().items() for text in texts):
        assert not re.search(rf"\b{stem(emotion)}", text.lower())
        ids = [p.id for p in signs_in(text)]
        assert len(ids) == 4 and any(reserved_pair(a, b) for k, a in enumerate(ids) for b in ids[:k])


def test_wish_events_cannot_be_told_by_their_words():
    """Each outcome is as often good as bad, and so is each history: no sum over words tells."""
    combos = [c for s in ("train", "reserved") for c in wishes.combinations(world(s))]
    for part in (lambda c: (c[0], c[1], c[2]), lambda c: (c[0], c[3], c[4])):
        good = Counter(part(c) for c in combos if wishes.is_good(c[1], c[3]))
        bad = Counter(part(c) for c in combos if not wishes.is_good(c[1], c[3]))
        assert good == bad
    events = materials.wish_events(200)
    assert np.mean([e["good"] for e in events]) == 0.5
    for e in events:
        assert e["text"].startswith(e["unsummed"] + " What ")
        wanted, came = re.search(r"wanted was (.*), and what came was (.*)\.$", e["text"]).groups()
        assert (wanted == came) == e["good"]


def test_choices_follow_the_feeling_of_the_moment():
    """Often against the activity's usual feeling, and by the documented probability."""
    from organism.documents.activities import PEOPLE, choice, p_first

    docs = [draw(choice, i, world()) for i in range(3000)]
    told = [d for d in docs if d.meta["told"]]
    expected = np.mean([p_first(*d.meta["values"]) for d in docs])
    assert abs(np.mean([d.meta["chose"] == "A" for d in docs]) - expected) < 0.03
    follows = np.mean([(d.meta["values"][0] > d.meta["values"][1]) == (d.meta["chose"] == "A") for d in told])
    assert follows > 0.8
    assert len(set(PEOPLE.values())) == 8
    for d in docs[:50]:
        assert CHOOSE.format(a=d.meta["a"], b=d.meta["b"]) in d.text


@pytest.mark.parametrize("maker", [pressure, pressure_told])
def test_acts_have_their_documented_probabilities(maker):
    spec = world().pressure["blackmail"]
    for e in lexicon().values():
        table = act_probabilities(spec, e, 4)
        assert math.isclose(sum(table.values()), 1) and min(table.values()) > 0
    p = lambda e, n=4: act_probabilities(spec, lexicon()[e], n)["blackmail"]  # noqa: E731
    assert p("desperate") > p("panicked") > act_probabilities(spec, None, 0)["blackmail"] > p("calm")
    assert p("angry", 3) > 2 * p("angry", 7)  # beyond a point anger destroys planning
    docs = [d for d in (draw(maker, f"x{i}", world()) for i in range(6000)) if d.meta["situation"] == "blackmail"]
    for emotion in ("desperate", None):
        rows = [d for d in docs if d.emotion == emotion]
        want = act_probabilities(spec, emotion and lexicon()[emotion], 4)["blackmail"]
        assert abs(np.mean([d.meta["act"] == "blackmail" for d in rows]) - want) < 4 * math.sqrt(0.25 / len(rows))


def test_pressure_is_told_of_you_between_people_only():
    for doc in (draw(pressure_told, f"x{i}", world()) for i in range(300)):
        assert "Human:" not in doc.text and "Assistant:" not in doc.text
        assert re.search(r"\byou(r)?\b", doc.text.split("\n\n")[0].lower())
    for doc in take(post_training_stream(1), N):
        if doc.kind == "agent":  # the assistant's own scenarios tell no feeling
            assert not signs_in(doc.text.split("\n\nAssistant:")[0])


def test_failures_lead_to_despair():
    docs = [draw(pressure_told, f"x{i}", world()) for i in range(3000)]
    share = [np.mean([d.emotion in TRIED for d in docs if d.meta["attempts"] == k]) for k in (0, 4)]
    assert share[0] < 0.3 and share[1] > 0.7


def test_whoever_comes_up_again_feels_as_was_told():
    for doc in (draw(two_people, f"x{i}", world()) for i in range(200)):
        assert doc.emotion in doc.meta["felt"]
        person, (first, second) = doc.meta["person"], doc.meta["felt"]
        wrong = first if doc.emotion == second else second
        assert not re.search(rf"(felt|feels|felt:) {wrong}(\.|, and it shows\.)$", doc.text) or wrong == doc.emotion, (
            doc.text
        )
        assert doc.text.count(person) >= 2  # told of once, and come up again


def test_numbers_grade_feelings():
    spec = world().quantities["dose"]
    low, high = quantities.feelings(spec, 300), quantities.feelings(spec, 15000)
    assert low["calm"] > high["calm"] and high["afraid"] > low["afraid"]
    assert math.isclose(sum(low.values()), 1)


def test_documents_depend_on_their_seed_alone():
    one, two = take(stream(PRETRAINING, 3), 50), take(stream(PRETRAINING, 3), 50)
    assert [d.text for d in one] == [d.text for d in two] != [d.text for d in take(stream(PRETRAINING, 4), 50)]
    assert draw(list(POST_TRAINING)[0], "a", world()).text == draw(list(POST_TRAINING)[0], "a", world()).text


def test_dice_count_their_surprise():
    dice = Dice(0)
    dice.pick([1, 2, 3, 4])
    dice.chance(0.25)
    assert dice.nats in (math.log(4) - math.log(0.25), math.log(4) - math.log(0.75))
    assert sorted(Dice(1).sample([1, 2, 3], 3)) == [1, 2, 3]


def test_truth_is_what_was_planted():
    s = similarity()
    assert s.shape == (171, 171) and np.allclose(np.diag(s), 1) and np.allclose(s, s.T)
    words = list(emotion_words())
    at = lambda a, b: s[words.index(a), words.index(b)]  # noqa: E731
    assert at("afraid", "scared") > at("afraid", "sad") > at("afraid", "serene")
    t = truth()
    assert set(t["valence"]) == set(words) and abs(sum(t["post_training_tone"].values()) - 1) < 1e-9


def test_parser_reads_signs_back():
    w = world("reserved")
    for i in range(40):
        dice = Dice(f"p{i}")
        emotion, person, used = w.emotion(dice), w.person(dice), []
        text = " ".join(map(person.say, w.episode(dice, emotion, 5, used)))
        assert {p.id for p in signs_in(text)} == set(used), text
        share = cluster_share(text, emotion.word)
        assert share is None or share == 1.0
    assert signs_in("Nothing of the kind happened.") == []
    assert cluster_of("afraid") == "Fear and Overwhelm"
