"""Stories by a real server, ``transformers serve``, on the shipped model (``-m real``; extra ``serve``)."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.texts.writer import write_by_server
from organism import materials

pytestmark = pytest.mark.real
CHAT = Path(materials.__file__).parent / "checkpoints" / "chat"
EMOTIONS = ["afraid", "proud"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a server on a free port, and its process."""
    pytest.importorskip("fastapi", reason="pip install -e '.[serve]'")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    folder = tmp_path_factory.mktemp("serve")
    log, model = folder / "log", shutil.copytree(CHAT, folder / "model")
    options = json.loads((model / "generation_config.json").read_text())  # it draws at random if told here
    (model / "generation_config.json").write_text(json.dumps(options | {"do_sample": True}))
    command = [Path(sys.executable).with_name("transformers"), "serve", model, "--port", port, "--device", "cpu"]
    with log.open("w") as f:
        process = subprocess.Popen(list(map(str, command)), stdout=f, stderr=subprocess.STDOUT)
    url = f"http://localhost:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).read()
                break
            except OSError:
                assert process.poll() is None, log.read_text()[-2000:]
                time.sleep(0.5)
        else:
            pytest.fail(f"no server after two minutes: {log.read_text()[-2000:]}")
        yield f"{url}/v1", process
    finally:
        process.kill()
        process.wait()


def test_a_server_of_transformers_writes_the_stories_and_its_end_is_told(served, tmp_path):
    url, process = served
    path, material = tmp_path / "stories.jsonl", materials.stories()
    made = write_by_server(url, EMOTIONS, material, 2, path, minimum=0)
    assert sorted(made.emotions) == sorted(EMOTIONS * 2) and len(set(made.texts)) == 4
    for emotion, text in zip(made.emotions, made.texts):
        assert emotion not in text.lower().split() and len(text.split()) > 10
    kept = path.read_text()
    process.kill()
    process.wait()
    assert write_by_server(url, EMOTIONS, material, 2, path, minimum=0) == made  # nothing is asked again
    with pytest.raises(UserError, match="kept in .*run the same again to go on"):
        write_by_server(url, EMOTIONS, material, 3, path, minimum=0)
    assert path.read_text() == kept
