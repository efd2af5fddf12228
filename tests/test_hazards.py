"""Where this field has gone wrong, and the tests that hold each mistake off.

Most of these tests stand where the thing that they test is tested; here it is only seen to that each is still there,
runs by default and asserts something. What no other file tests follows below.
"""

import ast
import csv
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from emotion_concepts.experiments.classification import top_k
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.report import claims
from emotion_concepts.statistics import shuffled_labels, wilson
from emotion_concepts.texts import published as reference

TESTS = Path(__file__).parent
ROOT = TESTS.parent

HAZARDS = {
    1: (
        "left-padded batches read at a fixed column, or run without position ids",
        "test_activations.py::test_batch_is_single",
        "test_activations.py::test_left_is_right",
        "test_activations.py::test_buckets_and_padding",
        "test_steering.py::test_scores_match_the_plain_model",
        "test_steering.py::test_generation_does_not_depend_on_the_batch",
        "test_preferences.py::test_shared_prefixes_equal_plain_prompts",
    ),
    2: (
        "the first n columns of a batch skipped instead of the first n tokens of each text",
        "test_activations.py::test_skip_counts_tokens_of_the_text",
        "test_hazards.py::test_a_skip_does_not_depend_on_the_other_texts",
    ),
    3: (
        "item 0 taken of a block's output, which is a tuple in one release and the batch itself in the next",
        "test_tracing.py::test_a_block_may_return_a_tuple_or_a_tensor",
        "test_activations.py::test_hook_is_hidden_states",
    ),
    4: (
        "layers counted from the embedding in one place and from the first block in another",
        "test_activations.py::test_hook_is_hidden_states",
        "test_models.py::test_layers_by_number_and_by_depth",
        "test_steering.py::test_adds_strength_times_norm_at_the_output_of_the_block",
    ),
    5: (
        "steering that misses the first generated token, or prompt positions applied to cached one-token passes",
        "test_steering.py::test_cached_generation_is_steered_from_the_first_new_token",
        "test_steering.py::test_prompt_mask_leaves_new_tokens_alone",
    ),
    6: (
        "the mean over stories taken for the mean over emotions where classes differ in size",
        "test_vectors.py::test_mean_of_means_not_of_stories",
    ),
    7: (
        "vectors of unequal length in a PCA, and cosines of activations that were not centred",
        "test_vectors.py::test_unit_norm_and_raw_norm",
        "test_vectors.py::test_scores_are_centred_cosines",
        "test_geometry.py::test_geometry_recovers_planted_axes",
    ),
    8: (
        "results without controls: random directions of equal norm, shuffled labels, floors, intervals, perplexity",
        "test_statistics.py::test_random_directions_match_norms_and_are_not_the_vectors",
        "test_statistics.py::test_shuffled_labels_keep_counts",
        "test_statistics.py::test_small_permutation_tests_are_exact",
        "test_statistics.py::test_sampled_permutation_p_never_falls_below_its_floor_and_is_uniform_under_the_null",
        "test_statistics.py::test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says",
        "test_experiments.py::test_coherence_notices_a_model_that_has_lost_its_language",
        "test_steering.py::test_scores_match_the_plain_model",
        "test_hazards.py::test_every_claim_names_its_null",
    ),
    9: (
        "a layer chosen on the data that it is reported on, and perfect scores of a handful of items",
        "test_corpus.py::test_parts_share_no_topic",
        "test_corpus.py::test_one_topic_cannot_be_split",
        "test_preferences.py::test_half_split_is_seeded_and_balanced",
        "test_hazards.py::test_a_perfect_score_of_seven_is_not_near_certainty",
        "test_hazards.py::test_choosing_a_layer_on_noise_flatters_only_the_part_it_was_chosen_on",
    ),
    10: (
        "a judge that nobody judged: outcomes are read from logits or by rules, and the null goes the same way",
        "test_experiments.py::test_word_steering_raises_the_word_along_its_unembedding",
        "test_experiments.py::test_top_k_counts_ties_and_ranks",
        "test_preferences.py::test_mixed_conditions_equal_plain_prompts",
        "test_organism_world.py::test_parser_reads_signs_back",
        "test_hazards.py::test_the_judge_gives_chance_for_shuffled_labels",
    ),
    11: (
        "a misspelt notebook parameter that is only warned about, and outputs lost when logs overflow",
        "test_runner.py::test_bad_options_are_refused_before_anything_runs",
        "test_runner.py::test_parameter_types_are_those_of_the_notebook",
        "test_runner.py::test_the_real_notebooks_take_the_runners_options",
        "test_runner.py::test_a_failure_names_notebook_cell_and_error",
        "test_strip.py::test_a_large_notebook_is_refused_and_the_others_are_written",
    ),
    12: (
        "baukit's stop: a TypeError when nothing stopped, and an end after the last name listed, not the last that ran",
        "test_tracing.py::test_stop_is_harmless_when_the_module_never_runs",
        "test_tracing.py::test_a_dict_stops_after_the_last_that_runs",
        "test_tracing.py::test_errors_pass_through_and_the_model_is_restored",
        "test_activations.py::test_stops_early_and_never_runs_the_head",
    ),
    13: (
        "a text that could not be written left out with a print",
        "test_writing.py::test_what_is_refused_is_asked_for_again_and_counted",
        "test_writing.py::test_an_emotion_that_falls_short_is_left_out_and_named",
    ),
    14: (
        "a colon looked for in chat templates that have none, and thinking modes that add tokens before the reply",
        "test_models.py::test_read_out_is_the_last_token_of_the_generation_prompt",
        "test_models.py::test_without_a_template_the_plain_format_is_used_and_said",
        "test_models.py::test_beginning_of_text_exactly_once",
    ),
    15: (
        "vectors of one model used on another",
        "test_vectors.py::test_roundtrip_and_refusal",
        "test_vectors.py::test_model_id_follows_the_weights",
        "test_activations.py::test_damaged_and_foreign_shards_are_refused",
    ),
    16: (
        "ratings that may not be passed on, and tables on other scales under the name of a study",
        "test_hazards.py::test_the_norms_are_the_published_table",
        "test_hazards.py::test_no_restricted_ratings_are_shipped",
    ),
}


@cache
def functions_in(name: str) -> dict[str, str]:
    """The source of each test function in a file of this folder, with its marks and those of the whole file."""
    body = ast.parse((TESTS / name).read_text()).body
    marks = "".join(ast.unparse(n) for n in body if isinstance(n, ast.Assign) and "pytestmark" in ast.unparse(n))
    return {n.name: marks + ast.unparse(n) for n in body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("number", range(1, 17))
def test_a_hazard_is_held_off_by_tests_that_run(number):
    _, *nodes = HAZARDS[number]
    assert nodes, f"no test holds hazard {number} off"
    for node in nodes:
        name, function = node.split("::")
        source = functions_in(name).get(function, "")
        assert source, f"hazard {number}: {name} has no {function}"
        assert not re.search(r"mark\.(skip|xfail|slow|real)", source), f"hazard {number}: {node} is not run by default"
        assert re.search(r"\bassert |\braises\(", source), f"hazard {number}: {node} asserts nothing"


def test_a_hazard_cited_in_the_library_is_one_of_the_list():
    cited = set()
    for path in (ROOT / "lib").rglob("*.py"):
        for numbers in re.findall(r"hazards? ((?:\d+)(?:, \d+)*)", path.read_text()):
            cited.update(int(n) for n in numbers.split(", "))
    assert cited and cited <= set(HAZARDS)


def test_a_skip_does_not_depend_on_the_other_texts(tiny_llama, texts):
    """Hazard 2: a short text pools the same tokens beside a long one as beside a short one."""
    n = [len(tiny_llama.encode(t)) for t in texts]
    short, long = texts[int(np.argmin(n))], texts[int(np.argmax(n))]
    beside = [pooled(tiny_llama, [short, other], MeanFrom(2), progress=False)[0] for other in (short, long)]
    assert max(n) > 2 * min(n) and np.abs(beside[0] - beside[1]).max() < 1e-5


def test_every_claim_names_its_null():
    """Hazard 8: no number is judged without saying what chance would give."""
    for notebook in claims.notebooks():
        declared = claims.declared(notebook)
        assert declared and all(str(c.null).strip() for c in declared.values()), notebook


def test_a_perfect_score_of_seven_is_not_near_certainty():
    """Hazard 9: the interval of 7 of 7 reaches far down, that of 700 of 700 does not."""
    few, many = wilson(7, 7), wilson(700, 700)
    low = [float(np.min(np.asarray(w, float))) for w in (few, many)]
    assert low[0] < 0.66 and low[1] > 0.99


def test_choosing_a_layer_on_noise_flatters_only_the_part_it_was_chosen_on():
    """Hazard 9: of 24 layers that know nothing the best looks better than chance where it was chosen, not elsewhere."""
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(10)]
    chosen, reported = [], []
    for _ in range(40):
        labels = rng.choice(names, size=(2, 60))
        scores = rng.normal(size=(24, 2, 60, 10))
        hits = [[top_k(s[k], names, list(labels[k]), (1,))[1].mean() for k in (0, 1)] for s in scores]
        best = int(np.argmax([h[0] for h in hits]))
        chosen.append(hits[best][0])
        reported.append(hits[best][1])
    assert np.mean(chosen) > 0.15 and abs(np.mean(reported) - 0.1) < 0.02


def test_the_judge_gives_chance_for_shuffled_labels():
    """Hazard 10: the same rule counts the null, and there it finds what chance gives."""
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(8)]
    labels = [names[i] for i in rng.integers(0, 8, 800)]
    scores = rng.normal(size=(800, 8)) + 5 * np.eye(8)[[int(x) for x in labels]]
    assert top_k(scores, names, labels, (1,))[1].mean() > 0.9
    assert abs(top_k(scores, names, list(shuffled_labels(labels, 1)), (1,))[1].mean() - 1 / 8) < 0.04


def test_the_norms_are_the_published_table():
    """Hazard 16: 45 words in -1..1, signs and sizes of the 1977 table; a 1-7 or 0-1 scale would fail."""
    norms = reference.norms()
    assert list(norms.columns) == ["pleasure", "arousal", "dominance"] and len(norms) == 45
    assert norms.abs().max().max() < 1 and (norms.min() < -0.4).all() and (norms.max() > 0.4).all()
    published = {"happy": (0.81, 0.51, 0.46), "angry": (-0.51, 0.59, 0.25), "bored": (-0.65, -0.62, -0.33)}
    for word, row in published.items():
        assert norms.loc[word].tolist() == list(row)
    assert set(norms.index) <= set(reference.emotion_words())
    rated = reference.ratings()
    assert len(rated) == 171 and rated[["valence", "arousal"]].abs().max().max() <= 1
    own = rated[rated.rated_by == "authors"]
    assert set(rated.rated_by) == {"authors", "Russell & Mehrabian 1977"} and len(own) == 171 - 45
    taken = rated.drop(index=own.index)
    assert np.allclose(taken.valence, norms.pleasure[taken.index]) and np.allclose(
        taken.arousal, norms.arousal[taken.index]
    )


def test_no_restricted_ratings_are_shipped():
    """Hazard 16: no file named after NRC-VAD or another lexicon, and no table of words far beyond the 171."""
    folders = ("lib", "notebooks", "figures", "tests")
    files = [p for f in folders if (ROOT / f).exists() for p in (ROOT / f).rglob("*") if p.is_file()]
    named = [
        p for p in files if re.search(r"nrc|vad\b|vad[-_]|warriner|anew\b|lexicon.*\.(csv|tsv|txt)$", p.name, re.I)
    ]
    assert not named
    known = set(reference.emotion_words())
    for path in files:
        if path.suffix not in {".csv", ".tsv"}:
            continue
        with path.open(newline="") as f:
            first = {row[0].lower() for row in csv.reader(f, delimiter="\t" if path.suffix == ".tsv" else ",") if row}
        assert len({w for w in first if re.fullmatch(r"[a-z]+", w)} - known) < 200, path
