"""The world is what its documentation says, and experiments see only what training never saw."""

import math
import re
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.reference import DATA, cluster_of, emotion_words, norms
from organism import materials
from organism.corpus import POST_TRAINING, PRETRAINING, TOLD, draw, post_training_stream, stream, take
from organism.documents import quantities, wishes
from organism.documents.activities import CHOOSE
from organism.documents.pressure import act_probabilities, pressure
from organism.documents.stories import two_people
from organism.documents.told import TRIED, pressure_told
from organism.grammar import Dice, Person
from organism.lexicon import lexicon, load_yaml, phrases
from organism.parser import cluster_share, signs_in
from organism.truth import similarity, truth
from organism.world import reserved_pair, world

N = 4000


@pytest.fixture(scope="module")
def training():
    """Training documents of every phase."""
    return take(stream(PRETRAINING, 0), N) + take(stream(TOLD, 2), N // 2) + take(post_training_stream(1), N // 2)


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
    synonyms = {}
    for path in ("joy_pride", "peace_compassion_vigilance", "anger", "fear", "despair_shame", "depleted_surprise"):
        part = load_yaml(f"emotions/{path}.yaml")
        synonyms |= {e: x["synonyms"] for e, x in part.items() if e != "shared"}
    for p in phrases():
        words = {stem(w) for w in re.findall(r"[a-z]+", re.sub(r"\{\w\}", "", p.text.lower()))}
        for e in p.emotions:
            assert stem(e) not in words, (e, p.text)
            if p.tier == "own":
                assert not words & {stem(s) for s in synonyms[e] if " " not in s}, (e, p.text)


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


def test_reserved_material_never_enters_training(training):
    """Topics, names, phrase pairs, activities, number values, wish wordings and scenario wordings."""
    w = world("reserved")
    text = "\n".join(d.text for d in training)
    for name, _ in w.names:
        assert not re.search(rf"\b{name}\b", text), name
    for topic in w.topics:
        assert topic["topic"] + " in which" not in text and f"topic is {topic['topic']} and" not in text
        assert all(t.split("{")[0] not in text for t in topic["openings"] if len(t.split("{")[0]) > 12)
    for activity in [x for xs in w.activities.values() for x in xs]:
        assert activity not in text, activity
    combos = {(n, a, i, b, j) for n, a, i, b, j in wishes.combinations(w)}
    pairs = Counter()
    for d in training:
        ids = d.meta.get("phrases", [])
        assert not any(reserved_pair(a, b) for k, a in enumerate(ids) for b in ids[:k]), d.text
        for e in d.meta.get("episodes", []):
            if d.kind == "quantity":
                assert not quantities.is_reserved(w.quantities[e["template"]], e["x"])
            else:
                for i, j in product(e["told"], e["happened"]):
                    assert (e["situation"], e["wants"], i, e["event"], j) not in combos
        pairs[d.kind] += 1
    assert pairs.total() == len(training)
    for spec in w.pressure.values():
        for part in [*spec["setup"], *spec["acts"].values()]:
            assert not set(part["train"]) & set(part["reserved"])
            for wording in part["reserved"]:
                plain = [x for x in re.split(r"\{\w+\}", wording) if len(x) > 24]
                assert all(x not in text or any(x in t for t in part["train"]) for x in plain)


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
    for emotion, text in materials.scenarios().items():
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
