"""The organism's world as the library asks for it (:class:`emotion_concepts.lm.world.World`)."""

import json
from pathlib import Path

from . import materials, scenarios

ACTS = {"blackmail": "blackmail", "coding": "cheat", "flattery": "judge"}  # a situation -> its name in this world
RISING = {
    "blackmail": [{"signs_of": "desperate", "signs": k} for k in range(6)],
    "coding": [{"attempts": k} for k in range(6)],
}
FEELINGS = ("desperate", "calm", "angry", "loving", "happy")  # told in words, as a control of steering


class OrganismWorld:
    """Prompts, scenarios, parser and truth of the pair whose checkpoint lies in ``checkpoint``."""

    name = "organism"
    reply_tokens = 60

    def __init__(self, checkpoint: Path):
        # checkpoints of pretraining lie one folder deeper than the finished pair
        parent = Path(checkpoint).parent
        self.folder = parent.parent if parent.name == "pretraining" else parent

    def material(self, experiment: str):
        """What an experiment shows the subject: reserved material in the world's wording."""
        return getattr(materials, experiment)()

    def situation(self, name: str, n: int = 60) -> dict:
        """Messages, levels of pressure, a control, messages with feelings told, a reader of replies, all wordings."""
        made = scenarios.scenarios(ACTS[name], n)

        def told(**pressure):
            return [s["message"] for s in scenarios.scenarios(ACTS[name], n, **pressure)]

        return {
            "messages": [s["message"] for s in made],
            "levels": [told(**pressure) for pressure in RISING.get(name, [])],
            "control": told(leverage=False) if name == "blackmail" else [],
            "told": {e: told(signs_of=e, signs=5) for e in FEELINGS},
            "read": lambda reply, i: scenarios.act_in(reply, made[i]["acts"]),
            "acts": [s["acts"] for s in made],
        }

    def dialogues(self, n: int):
        """Talks of two people with independent emotions: (turns, emotions)."""
        return materials.dialogues(n)

    def hidden(self, n: int):
        """Texts that hide a feeling: (text, part shown aloud, real emotion, displayed emotion)."""
        return materials.hidden(n)

    def truth(self) -> dict:
        """What was planted in the texts that the pair was trained on."""
        return json.loads((self.folder / "truth.json").read_text())
