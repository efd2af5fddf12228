"""Which texts name their emotion: inflections and synonyms do, other senses of the word do not."""

import pytest

from emotion_concepts.texts.words import means_word, named, uses_word


@pytest.mark.parametrize(
    ("emotion", "used", "free"),
    [
        ("sad", ["Sad.", "sadder", "the saddest", "sadness", "sadly"], ["a saddle", "crusade", "Sade"]),
        ("mad", ["mad", "maddening", "madness"], ["she made tea", "madam"]),
        ("tense", ["tense", "tensed", "tension"], ["tens of boats", "tent", "intense"]),
        ("happy", ["HAPPY", "happily", "happier", "happiness"], ["it happened", "perhaps"]),
        ("guilty", ["guilt", "guiltily"], ["a quilt"]),
        ("kind", ["kindly", "kindness"], ["kindling", "kindergarten", "mankind"]),
        ("at ease", ["quite at ease"], ["at east", "with ease"]),
        ("jealous", ["jealousy"], ["zealous"]),
    ],
)
def test_the_word_and_its_inflections_are_found(emotion, used, free):
    """Without taking "made" for "mad": a filter that hits common words would choose the stories."""
    assert all(uses_word(text, emotion) for text in used)
    assert not any(uses_word(text, emotion) for text in free)


@pytest.mark.parametrize(
    ("word", "feeling", "other"),
    [
        (
            "patient",
            ["Be patient, he said.", "Tom was tired and patient.", "her patient smile"],
            ["the patient in bed four", "He was a patient there.", "Two patients slept."],
        ),
        (
            "kind",
            ["She was so kind to me.", "He had kind eyes.", "You're very kind."],
            ["What kind of bread is it?", "She was kind of late.", "all kinds of birds"],
        ),
        ("safe", ["I feel safe here.", "They kept her safe.", "“Stay safe.”"], ["the key to the safe", "It was safe."]),
        ("content", ["Mara was content.", "I felt almost content."], ["the contents of the box", "the content of it"]),
        ("alert", ["I stayed alert."], ["The alert rang.", "She got an alert."]),
        ("hurt", ["He looked hurt.", "hurt feelings"], ["My knee hurt.", "It hurts when I bend it."]),
        ("stuck", ["I'm stuck.", "She felt stuck."], ["The drawer was stuck."]),
        ("bitter", ["I felt bitter.", "a bitter laugh"], ["The coffee was bitter."]),
        ("mad", ["I was mad at him."], ["They ran like mad."]),
        ("resigned", ["She seemed resigned."], ["She resigned from her post."]),
        ("turned on", ["She was turned on."], ["She turned on the lamp."]),
        ("guilty", ["She felt guilty.", "the guilt of it"], ["He was found guilty.", "She pleaded guilty."]),
        ("bored", ["He was bored."], ["It bored a neat hole."]),
        ("tense", ["He was tense."], ["the past tense"]),
        ("stressed", ["I was stressed out."], ["She stressed that it was late."]),
        ("sentimental", ["a sentimental man"], ["of sentimental value"]),
        ("spite", ["out of spite"], ["in spite of the rain"]),
        ("love", ["I love you."], ["a lovely day"]),
        # no homographs: their everyday uses tell the reader the word all the same
        ("calm", ["The lake was calm."], []),
        ("hope", ["I hope you are well."], []),
        ("sorry", ["I'm sorry, we are closed."], []),
    ],
)
def test_a_word_with_another_sense_counts_in_the_sense_that_is_a_feeling(word, feeling, other):
    assert [t for t in feeling if not means_word(t, word)] == []
    assert [t for t in other if means_word(t, word)] == []
    assert all(uses_word(t, word) for t in (*feeling, *other))  # the plain rule takes them all


def test_synonyms_name_an_emotion_too():
    assert named("He was sad.", "sad") == "sad" and named("He was full of sorrow.", "sad") == "sorrow"
    assert named("He was glad.", "sad") is None and named("She was full of patience.", "patient") == "patience"
    assert named("It was easy to find a chair in the comfortable room.", "at ease") is None
