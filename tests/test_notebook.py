"""What notebooks open with: sizes, folders, what earlier notebooks wrote, and figures light enough to keep."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.reading.vectors import emotion_vectors
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.neutral import Neutral
from emotion_suite import notebook, profiles
from emotion_suite.notebook import footer, open_run


@pytest.fixture
def run(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "load_model", lambda name, **options: tiny_llama)
    return open_run("01-vector-discovery", "tiny", "", "quick", str(tmp_path / "run"), seed=3)


def test_a_run_knows_its_sizes_claims_and_folder(run, tmp_path):
    assert run.notebook == "01" and run.out == tmp_path / "run" and run.out.is_dir()
    assert "01.top1" in run.ledger.claims and run.settings["stories_per_emotion"] >= 1
    with pytest.raises(UserError, match="did you mean 'splits'"):
        run.settings["split"]


def test_profiles_hold_the_same_sizes_and_grow():
    sample, quick, default, paper = (profiles.settings(p) for p in ("sample", "quick", "default", "paper"))
    assert set(sample) == set(quick) == set(default) == set(paper)
    assert all(sample[k] <= quick[k] <= default[k] <= paper[k] for k in quick)
    small, real = (profiles.settings(p, shipped=False) for p in ("quick", "default"))
    assert set(small) == set(real) == set(default) and all(small[k] <= real[k] <= default[k] for k in default)
    assert paper["stories_per_emotion"] == 1200  # 100 topics x 12 stories (paper, section 1)
    with pytest.raises(UserError, match="unknown profile .big.; choose one of sample, quick"):
        profiles.settings("big")


def test_bad_folder_and_notebook(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to .*choose another --out"):
        open_run("01", "tiny", "", "quick", str(tmp_path / "file" / "x"))
    with pytest.raises(UserError, match="has no number"):
        open_run("first", "tiny", "", "quick", str(tmp_path))


def test_what_is_missing_names_the_notebook_that_writes_it(run):
    for read in (run.vectors, run.stories, run.neutral):
        with pytest.raises(UserError, match="run notebook 01 first"):
            read()
    with pytest.raises(UserError, match="--base"):
        run.base()
    assert run.truth() is None  # a model whose world is not known


def test_what_notebook_01_writes_is_read_back(run):
    acts = np.random.default_rng(0).normal(size=(8, 3, 32)).astype(np.float32)
    emotions = ["afraid", "calm"] * 4
    vectors = emotion_vectors(acts, emotions, [0, 1, 2], meta={"model_id": run.subject.model_id})
    vectors.save(run.artefact("vectors.safetensors"))
    assert np.array_equal(run.vectors().vectors, vectors.vectors)
    Corpus(["a", "b"], ["afraid", "calm"], ["x", "y"]).save(run.artefact("stories.json"))
    assert run.stories().texts == ["a", "b"]
    Neutral(["Q: a? A: n"], ["n"]).save(run.artefact("neutral.json"))
    assert run.neutral() == ["Q: a? A: n"] and run.neutral_chats().replies == ["n"]
    run.artefact("neutral.json").write_text("[")
    with pytest.raises(UserError, match="is damaged; delete it"):
        run.neutral()
    vectors.meta["model_id"] = "another"
    vectors.save(run.artefact("vectors.safetensors"))
    with pytest.raises(UserError, match="was made with another"):
        run.vectors()


def test_a_store_lies_with_its_notebook(run):
    assert run.artefact("activations") == run.out / "stores" / "01" / "activations"
    assert run.artefact("activations", "12") == run.out / "stores" / "12" / "activations"
    assert run.artefact("thing.json") == run.out / "thing.json"


def test_a_shown_figure_is_light_and_the_saved_one_whole(run):
    fig, ax = plt.subplots()
    x = np.random.default_rng(0).normal(size=(2, 400))
    ax.scatter(*x, c=np.arange(400))
    shown = run.figure(fig, "01-dots", {"x": x[0]}, "Dots.")
    saved = run.out / "figures" / "01-dots.png"
    assert run.figures == ["01-dots"] and len(shown.data) < 0.6 * saved.stat().st_size and shown.alt == "Dots."
    assert shown.data == notebook.light_png(fig)  # the same bytes each time
    assert (
        json.loads(saved.with_suffix(".json").read_text())["caption"] == "Dots." and saved.with_suffix(".svg").exists()
    )


def test_the_footer_tells_what_is_needed_to_repeat(run, capsys):
    footer(run)
    text = capsys.readouterr().out
    assert run.subject.model_id in text and "seed 3" in text and "torch 2" in text and "stories_per_emotion" in text


def test_a_notebook_without_the_partner_that_it_needs_ends_well(run, tmp_path, capsys):
    assert not run.has_base
    run.ledger.judge("01.top1", 0.9)
    with pytest.raises(SystemExit) as end:
        run.end("no pretrained partner: name it with --base")
    assert end.value.code == 0 and capsys.readouterr().out == "no pretrained partner: name it with --base\n"
    rows = json.loads((run.out / "claims" / "01.json").read_text())["claims"]
    assert [r["verdict"] for r in rows] == ["met"] + ["not judged"] * (len(rows) - 1)
    assert {r["note"] for r in rows[1:]} == {"no pretrained partner: name it with --base"}
    assert open_run("08", "tiny", "other", "quick", str(tmp_path / "run")).has_base


def test_the_partner_has_the_number_format_of_the_subject(tmp_path):
    run = notebook.open_run("08", "organism", "organism-base", "quick", str(tmp_path), dtype="bfloat16")
    assert run.subject.dtype == run.base().dtype == torch.bfloat16
