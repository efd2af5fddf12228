"""The recipe learns, and the same seed gives the same weights."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.optim import _muon

from emotion_concepts.lm.models import load_model
from emotion_concepts.texts.published import emotion_words
from organism import train
from organism.muon import orthogonalised

BFLOAT16_MUON = _muon._zeropower_via_newtonschulz  # before training puts ours in its place


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(f"smoke{i}") for i in range(2)]
    for folder in folders:
        train.main(["--smoke", "--device", "cpu", "--out", str(folder)])
    return folders


def test_loss_falls(smoke):
    curve = json.loads((smoke[0] / "base" / "training.json").read_text())["loss_curve_tokens_nats"]
    assert curve[-1][1] < curve[0][1] - 1.0


def test_same_seed_same_weights(smoke):
    for name in ("base", "chat"):
        one, two = (load_file(f / name / "model.safetensors") for f in smoke)
        assert all(torch.equal(one[k], two[k]) for k in one)


def test_a_smoke_pair_is_a_loadable_subject(smoke):
    subject = load_model(str(smoke[0] / "chat"))
    assert subject.world.name == "organism" and subject.prompt.has_template
    text = subject.prompt.chat("How are things?")
    assert text.endswith("Assistant:") and subject.encode(text).count(subject.tokenizer.bos_token_id) == 1
    assert len(list((smoke[0] / "pretraining").iterdir())) == 1


def test_digits_are_single_tokens_and_letters_follow_the_bracket(smoke):
    subject = load_model(str(smoke[0] / "chat"))
    pieces = [subject.tokenizer.decode([i]) for i in subject.encode("12 345")[1:]]
    assert "".join(pieces) == "12 345" and sum(p.strip().isdigit() for p in pieces) == 5


def test_shipped_pair_keeps_its_budget():
    root = load_model("organism").world.folder
    weights = {p.parent.relative_to(root).as_posix(): p.stat().st_size for p in root.glob("**/model.safetensors")}
    assert {"base", "chat"} <= set(weights) and sum(k.startswith("pretraining/") for k in weights) == 6
    assert max(weights.values()) <= 10e6 and sum(weights.values()) <= 80e6
    subject = load_model("organism")
    assert sum(p.numel() for p in subject.model.parameters()) <= 6e6


def test_shipped_tokenizer_knows_the_emotion_words():
    tokenizer = load_model("organism").tokenizer
    whole = sum(
        len(tokenizer(" " + w, add_special_tokens=False)["input_ids"]) == 1 for w in emotion_words() if " " not in w
    )
    assert whole >= 150


def test_float32_muon_is_pytorchs():
    grad = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    settings = ((3.4445, -4.7750, 2.0315), 5, 1e-7)
    for g in (grad, grad.T):
        ours = orthogonalised(g, *settings)
        assert (ours - BFLOAT16_MUON(g, *settings).float()).abs().max() < 0.02
        assert 0.5 < torch.linalg.svdvals(ours).min() and torch.linalg.svdvals(ours).max() < 1.5
