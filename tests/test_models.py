"""Loading: what is refused and in which words; how a subject is spoken to and where it is read."""

import copy
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from conftest import CONFIGS, make_tokenizer
from families import build
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    Gemma3TextConfig,
    Gemma3TextModel,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)  # fmt: skip

from emotion_concepts.errors import UserError
from emotion_concepts.lm import models, zoo
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.scoring import next_logits, token_nats
from emotion_concepts.lm.shared_prefix import Prompt, grouped_log_probs, grouped_logits
from emotion_concepts.lm.subject import wrap
from emotion_concepts.lm.zoo import locate
from emotion_concepts.reading.activations import at_reply, per_token
from emotion_suite.reruns import model_fingerprint

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


@pytest.mark.parametrize("kind", ["gemma3", "llava", "qwen2_5_vl"])
def test_the_text_model_of_a_multimodal_wrapper_is_loaded_from_a_folder(kind, tmp_path, texts):
    made = build(kind).model
    made.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    subject = load_model(str(tmp_path), device="cpu")
    assert subject.n_layers == made.config.text_config.num_hidden_layers
    assert not any("vis" in block for block in subject.blocks)
    ids = torch.tensor([subject.encode(texts[0])])
    with torch.no_grad():
        want = made(ids, output_hidden_states=True).hidden_states[1][0].float()
    assert np.allclose(per_token(subject, texts[0], [0])[1][:, 0], want, atol=1e-4)


def test_unknown_models(tmp_path, offline, monkeypatch):
    refused(
        "nobody/has-this-model", "cannot load model 'nobody/has-this-model': the hub cannot be reached, .*smollm2-135m"
    )
    refused("qwen3-4b-instrct", r"was not downloaded before .the zoo has qwen3-4b-instruct, .*check the network")
    refused(tmp_path / "nowhere", "no folder .*nowhere; give a local checkpoint, a hub name, or a name of the zoo")
    refused("./nowhere", "no folder ./nowhere")
    refused("nowhere.gguf", "no file nowhere.gguf; give the path of a .gguf file")
    monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda name: None)
    refused(
        "organism",
        "shipped checkpoint of 'organism' is missing; restore it with git, or rebuild it: python -m organism.train",
    )


ANSWERS = {  # of a hub: path of the request -> status and error code
    "/gated/model/resolve/main/config.json": (403, "GatedRepo"),
    "/nobody/model/resolve/main/config.json": (401, "RepoNotFound"),
    "/some/model/resolve/v7/config.json": (404, "RevisionNotFound"),
}


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub that refuses everything, each in its own way."""

    def do_HEAD(self):
        status, code = ANSWERS.get(self.path, (404, "EntryNotFound"))
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


def test_what_a_hub_refuses_is_told_apart(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = (
        "from emotion_concepts.errors import UserError\n"
        "from emotion_concepts.lm.models import load_model\n"
        "from emotion_suite.reruns import model_fingerprint\n"
        "for act in (load_model, model_fingerprint):\n"
        "    for name in ('gated/model', 'nobody/model', 'some/model@v7', 'some/text'):\n"
        "        try: act(name)\n"
        "        except UserError as e: print(e)\n"
    )
    env = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(Path(zoo.__file__).parents[2]), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    server.shutdown()
    lines = done.stdout.splitlines()
    assert len(lines) == 8 and lines[:4] == lines[4:], done.stderr
    for line, words in zip(
        lines,
        (
            "'gated/model': it is gated; accept its licence on its page at the hub, then log in here: hf auth login",
            "'nobody/model': neither the zoo nor the hub has it; see ./run_all.sh models",
            "'some/model@v7': the hub has the model, but not this revision; choose another after the @",
            "'some/text': Unrecognized model in some/text. ",
        ),
    ):
        assert line.startswith(f"cannot load model {words}")


SMALL = dict(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BertForMaskedLM(BertConfig(**SMALL)), r"\(bert, BertForMaskedLM\) is not a causal language model"),
        (lambda: BertLMHeadModel(BertConfig(**SMALL)), r"\(bert, BertLMHeadModel\) is not a causal"),  # no is_decoder
        (lambda: RobertaForMaskedLM(RobertaConfig(**SMALL)), r"\(roberta, RobertaForMaskedLM\) is not a causal"),
        (lambda: Gemma3TextModel(Gemma3TextConfig(**SMALL)), r"\(gemma3_text, Gemma3TextModel\) is not a causal"),
        (
            lambda: T5ForConditionalGeneration(
                T5Config(vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
            ),
            r"\(t5\) is an encoder-decoder model; choose a causal",
        ),
    ],
)
def test_what_does_not_write_is_refused(tmp_path, make, message, tokenizer):
    make().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    refused(tmp_path, message, device="cpu")
    with pytest.raises(UserError, match=message):
        model_fingerprint(str(tmp_path))  # before a run begins


def test_a_bert_that_was_made_a_decoder_is_one(tmp_path, tokenizer):
    BertLMHeadModel(BertConfig(**SMALL | {"vocab_size": 400}, is_decoder=True)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_model(str(tmp_path), device="cpu").n_layers == 2


def test_folders_without_configuration_or_weights(folder):
    (folder / "model.safetensors").rename(folder / "model.pt")
    refused(folder, r"holds no weights \(\*\.safetensors\); download them")
    with pytest.raises(UserError, match="holds no weights"):
        locate(str(folder))  # before anything is loaded
    (folder / "config.json").unlink()
    refused(folder, "holds no config.json; give the folder of a Hugging Face checkpoint")


def test_bad_dtype_and_device(folder):
    refused(folder, "unknown dtype 'int3'; choose one of float32, float16, bfloat16", dtype="int3")
    refused(folder, "cannot use device 'abacus': .*choose auto, cpu, cuda", device="abacus")
    refused(folder, "cannot quantise to 3 bits; choose 8 or 4", quantise=3)
    for device, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            refused(folder, f"cannot use device '{device}': .*; choose auto, cpu, cuda, mps or spread", device=device)


@pytest.mark.parametrize(
    ("package", "options"),
    [("accelerate", {"device": "spread"}), ("accelerate", {"quantise": 4}), ("bitsandbytes", {"quantise": 8})],
)
def test_missing_packages_are_named(folder, monkeypatch, package, options):
    real = models.importlib.util.find_spec
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None if name == package else real(name))
    refused(folder, f"needs the package {package}: pip install {package}", **{"device": "cpu"} | options)


@pytest.mark.parametrize("stored", [True, False])
def test_weights_that_are_stored_quantised_are_loaded_where_they_are_asked_for(folder, monkeypatch, stored):
    """They cannot be moved afterwards; without a device map transformers would leave some kinds on the CPU."""
    if stored:
        config = json.loads((folder / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
        (folder / "config.json").write_text(json.dumps(config))
    asked = {}

    def loads(path, **options):
        asked.update(options)
        raise OSError("seen enough")

    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", loads)
    refused(folder, "seen enough", device="cpu")
    assert asked.get("device_map") == ("cpu" if stored else None)


def test_spread_over_what_is_there(folder, tiny_llama, texts):
    subject = load_model(str(folder), device="spread")
    ids = torch.tensor([subject.encode(texts[0])])
    with torch.no_grad():
        got, want = subject.model(ids.to(subject.device)).logits.cpu(), tiny_llama.model(ids).logits
    assert torch.allclose(got, want, atol=1e-4)


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


def test_a_context_too_short_is_told_before_anything_runs(tiny, monkeypatch):
    text = "the dog ran over the hill and barked at him"
    monkeypatch.setattr(tiny, "max_length", len(tiny.encode(text)) - 1)
    calls = [
        lambda: generate(tiny, [text], 2),
        lambda: next_logits(tiny, [text]),
        lambda: token_nats(tiny, [text]),
        lambda: grouped_log_probs(tiny, ["the dog"], [[text[7:]]]),
        lambda: grouped_logits(tiny, [Prompt(text, 0)], [0]),
    ]
    monkeypatch.setattr(tiny, "final_hidden", None)
    for call in calls:
        with pytest.raises(UserError, match="too long for .*; shorten it, or choose a model with a longer context"):
            call()
