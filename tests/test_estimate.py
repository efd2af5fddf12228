"""Minutes are told before a long step, from a speed measured here."""

from emotion_suite import estimate


def test_short_steps_are_silent_and_unmeasured(tiny_llama, capfd):
    assert estimate.announce(tiny_llama, "reading", read=1000) == 0
    assert capfd.readouterr().err == "" and not hasattr(tiny_llama, "_speeds")


def test_long_steps_are_told_in_proportion(organism, capfd):
    once = estimate.announce(organism, "reading stories", read=2_000_000_000)
    assert "reading stories: about " in capfd.readouterr().err and once > 60
    assert estimate.seconds(organism, read=4_000_000_000) == 2 * once
    reading, writing = estimate.speeds(organism)
    assert 0 < writing < reading
    assert abs(estimate.seconds(organism, written=10_000_000) * writing - 10_000_000) < 1
