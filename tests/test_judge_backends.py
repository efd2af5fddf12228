"""The key of a judge's server: taken as it is meant, refused where no header can carry it, never shown."""

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.outcomes.judge_backends import UrlJudge

URL = "http://localhost/v1"


def test_a_key_is_stripped(monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", " my-secret\r\n")
    assert UrlJudge(URL).key == "my-secret"
    monkeypatch.delenv("JUDGE_API_KEY")
    assert UrlJudge(URL).key == ""


@pytest.mark.parametrize("key", ["my\rsecret", "my\nsecret", "my-sécret", "my\x7fsecret", "“my-secret”"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("JUDGE_API_KEY", key)
    with pytest.raises(UserError, match="set it to the bare key") as e:
        UrlJudge(URL)
    assert "cret" not in str(e.value)
