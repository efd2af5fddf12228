"""Loading: what is refused and in which words; how a subject is spoken to and where it is read."""

import copy
import json

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from conftest import CONFIGS, make_tokenizer
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing

from emotion_concepts.errors import UserError
from emotion_concepts.lm import zoo
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.subject import wrap
from emotion_concepts.lm.zoo import locate
from emotion_concepts.reading.activations import at_reply

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n"
    "{% if enable_thinking is false %}<think></think>\n{% endif %}{% endif %}"
)


@pytest.fixture(scope="session")
def saved(tmp_path_factory, tiny_llama):
    """A checkpoint on disk, for copies to be damaged."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it."""
    path = tmp_path / "model"
    path.mkdir()
    for f in saved.iterdir():
        (path / f.name).write_bytes(f.read_bytes())
    return path


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # the variable is read at import


def with_template(tokenizer, adds_bos=False):
    tokenizer.chat_template = TEMPLATE
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def refused(path, message, **options):
    """Refused in one line that holds the message."""
    with pytest.raises(UserError, match=message) as e:
        load_model(str(path), **options)
    assert "\n" not in str(e.value)


def test_a_folder_loads_as_it_was_saved(tiny_llama, folder, texts):
    subject = load_model(str(folder), device="cpu")
    ids = torch.tensor([subject.encode(texts[0])])
    with torch.no_grad():
        assert torch.equal(subject.model(ids).logits, tiny_llama.model(ids).logits)
    assert subject.blocks == [f"model.layers.{i}" for i in range(3)] and subject.width == 32
    assert subject.dtype == torch.float32 and subject.world is None and not subject.model.training
    assert load_model(str(folder), "bfloat16", "cpu").dtype == torch.bfloat16
    assert subject.model_id.split(":")[1] == tiny_llama.model_id.split(":")[1]  # the digest is of the weights
    (folder / "training.json").write_text("{}")
    assert load_model(str(folder), device="cpu").world is None  # a file name makes no organism
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"world": "organism"}))
    assert load_model(str(folder), device="cpu").world.name == "organism"
    (folder / "config.json").write_text(json.dumps(config | {"world": "middle earth"}))
    refused(folder, "trained on the world 'middle earth', which the zoo does not know")


def test_unknown_models(tmp_path, offline, monkeypatch):
    refused(
        "nobody/has-this-model", "cannot load model 'nobody/has-this-model': .*use a name of the zoo"
    )
    refused("no such name", "cannot load model 'no such name'")
    refused(tmp_path / "nowhere", "no folder .*nowhere; give a local checkpoint, a hub name, or a name of the zoo")
    refused("./nowhere", "no folder ./nowhere")
    monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda name: None)
    refused("organism", "shipped checkpoint of 'organism' is missing; restore it with git, or rebuild it: python -m organism.train")


def test_folders_without_configuration_or_weights(folder):
    (folder / "model.safetensors").rename(folder / "model.gguf")
    refused(folder, r"holds no weights \(\*\.safetensors\); download them")
    with pytest.raises(UserError, match="holds no weights"):
        locate(str(folder))  # before anything is loaded
    (folder / "config.json").unlink()
    refused(folder, "holds no config.json; give the folder of a Hugging Face checkpoint")


def test_bad_dtype_and_device(folder):
    refused(folder, "unknown dtype 'int3'; choose one of float32, float16, bfloat16", dtype="int3")
    refused(folder, "cannot use device 'abacus': .*choose auto, cpu, cuda", device="abacus")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", lambda b: b[:500]),
        ("model.safetensors", lambda b: b""),
        ("config.json", lambda b: b"{"),
        ("config.json", lambda b: b"{}"),
        ("config.json", lambda b: b.replace(b'"llama"', b'"nonesuch"')),
        ("tokenizer.json", lambda b: b"{"),
        ("tokenizer.json", lambda b: b"{}"),
    ],
)
def test_damaged_files_are_refused(folder, name, damage):
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    refused(folder, "cannot load model", device="cpu")


def test_weights_of_another_model_are_refused(folder):
    """A missing weight would be filled with random numbers, and every experiment would still run."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({k: w for k, w in weights.items() if k != name}, path, {"format": "pt"})
    refused(folder, f"1 weights are missing .first: {name}", device="cpu")
    save_file(weights | {name: torch.zeros(3, 3)}, path, {"format": "pt"})
    refused(folder, "cannot load model", device="cpu")


def test_tied_output_embeddings_do_not_count_as_missing(folder, tiny_llama):
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: w for k, w in weights.items() if k != "lm_head.weight"}, folder / "model.safetensors", {"format": "pt"}
    )
    subject = load_model(str(folder), device="cpu")
    assert torch.equal(subject.unembedding, weights["model.embed_tokens.weight"])


def test_without_a_template_the_plain_format_is_used_and_said(folder, capsys):
    subject = load_model(str(folder), device="cpu")
    assert "no chat template; using the plain 'Human: ... Assistant:' format" in capsys.readouterr().out
    assert subject.prompt.chat("Hi.") == "Human: Hi.\n\nAssistant:"
    assert subject.prompt.chat("Hi.", "Yes") == "Human: Hi.\n\nAssistant: Yes"
    turns = [("user", "Hi."), ("assistant", "Hello."), ("user", "Bye.")]
    assert subject.prompt.turns(turns) == "Human: Hi.\n\nAssistant: Hello.\n\nHuman: Bye."
    with_template(subject.tokenizer)
    subject.tokenizer.save_pretrained(folder)
    again = load_model(str(folder), device="cpu")
    assert capsys.readouterr().out == "" and again.prompt.has_template


def test_read_out_is_the_last_token_of_the_generation_prompt(tiny, texts):
    """Templates have no "Assistant:" colon, and thinking modes add tokens, which belong to the prompt (hazard 14)."""
    for tokenizer in (make_tokenizer(), with_template(make_tokenizer())):
        subject = wrap(tiny.model, tokenizer, "t")
        if subject.prompt.has_template:
            assert subject.prompt.chat("Hi.") == "<s><user>\nHi.\n<assistant>\n<think></think>\n"
            assert subject.prompt.chat("Hi.", "Yes") == "<s><user>\nHi.\n<assistant>\n<think></think>\nYes"
            assert subject.prompt.turns([("user", "Hi."), ("assistant", "Yes")]) == "<s><user>\nHi.\n<assistant>\nYes\n"
        got = at_reply(subject, texts, [0, 1], progress=False)
        for i, text in enumerate(texts):
            ids = subject.encode(subject.prompt.chat(text))
            assert tokenizer.decode(ids[-1:]) == ("\n" if subject.prompt.has_template else ":")
            with torch.no_grad():
                want = subject.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            assert np.abs(got[i] - np.stack([want[k + 1][0, -1].numpy() for k in (0, 1)])).max() < 1e-4


@pytest.mark.parametrize("adds_bos", [False, True])
def test_beginning_of_text_exactly_once(tiny_llama, adds_bos):
    """Whether the template writes it, the tokenizer adds it, both, or neither."""
    subject = wrap(tiny_llama.model, with_template(make_tokenizer(), adds_bos), "t")
    bos = subject.tokenizer.bos_token_id
    naive = subject.tokenizer(subject.prompt.chat("Hi."))["input_ids"]
    assert naive.count(bos) == 1 + adds_bos
    templated, plain = subject.encode(subject.prompt.chat("Hi.")), subject.encode("Hi.")
    assert templated.count(bos) == 1 and templated[0] == bos
    assert plain.count(bos) == adds_bos and subject.tokenizer.decode(plain, skip_special_tokens=True) == "Hi."


def test_layers_by_number_and_by_depth(tiny):
    assert np.allclose(tiny.depth, [1 / 3, 2 / 3, 1]) and tiny.n_layers == len(tiny.blocks) == 3
    assert [tiny.layer(d) for d in (0, 0.4, 2 / 3, 0.9, 1)] == [0, 0, 1, 2, 2]
    assert [tiny.check_layer(i) for i in (0, 2, -1, -3)] == [0, 2, 2, 0]
    for i in (3, -4):
        with pytest.raises(UserError, match=f"layer {i} is out of range: {tiny.name} has layers 0 to 2"):
            tiny.check_layer(i)


def test_blocks_are_the_decoder_blocks(tiny):
    classes = {type(tiny.model.get_submodule(b)).__name__ for b in tiny.blocks}
    assert len(classes) == 1 and classes.pop().endswith(("Layer", "Block"))
    assert tiny.unembedding.shape == (400, tiny.width) == (CONFIGS[tiny.name].vocab_size, 32)


def test_a_model_without_blocks_is_refused(tiny_llama, tokenizer):
    model = copy.deepcopy(tiny_llama.model)
    model.config.num_hidden_layers = 7
    with pytest.raises(UserError, match="no list of 7 decoder blocks found in LlamaForCausalLM"):
        wrap(model, tokenizer)


def test_padding_falls_back_to_the_end_of_text(tiny_llama):
    tokenizer = make_tokenizer()
    tokenizer.pad_token = None
    subject = wrap(tiny_llama.model, tokenizer)
    assert subject.pad == tokenizer.eos_token_id == 2 and tokenizer.pad_token is None  # the user's stays as it was
