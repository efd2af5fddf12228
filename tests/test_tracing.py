"""The contract of TraceDict, held against the own hooks and, where it is installed, baukit's."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from emotion_concepts.lm import tracing

BAUKIT = pytest.mark.skipif(tracing.BACKEND != "baukit", reason="baukit is not installed")


class Pair(nn.Module):
    """A block of the older kind, which returns a tuple (hazard 3)."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return self.lin(x), x.sum()


class Net(nn.Module):
    """Modules listed in another order than they run in: ``late`` comes first in the list, ``unused`` never runs."""

    def __init__(self):
        super().__init__()
        self.late, self.unused = nn.Linear(4, 2), nn.Linear(4, 4)
        self.body = nn.ModuleList([nn.Linear(4, 4), Pair()])
        self.ran = []

    def forward(self, x):
        self.ran = ["first"]
        x = self.body[0](x)
        x = x.mul_(2)  # in place: only a clone keeps what body.0 gave
        self.ran.append("second")
        x, _ = self.body[1](x)
        self.ran.append("late")
        x = self.late(x)
        self.ran.append("end")
        return x


@pytest.fixture(params=["own", pytest.param("baukit", marks=BAUKIT)])
def trace(request, monkeypatch):
    if request.param == "own":
        monkeypatch.setattr(tracing, "_baukit", None)
    return tracing.TraceDict


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def x():
    return torch.arange(12.0).view(3, 4) / 12


def n_hooks(net):
    return sum(len(m._forward_hooks) for m in net.modules())


def test_retains_what_is_asked_for(trace, net, x):
    with trace(net, ["body.1", "late"]) as t:
        out = net(x)
    assert isinstance(t["body.1"].output, tuple) and t["body.1"].output[1].shape == ()  # kept as it is
    assert torch.equal(t["late"].output, out)
    with trace(net, ["late", "unused"], retain_output=False) as t:
        net(x)
    assert t["late"].output is None and t["unused"].output is None


def test_edits_what_the_model_goes_on_with(trace, net, x):
    plain, names = net(x), []

    def edit(output, layer):
        names.append(layer)
        return output + 1 if layer == "late" else output

    with trace(net, ["late", "body.0"], edit_output=edit) as d:
        assert torch.equal(net(x), plain + 1)
    assert names == ["body.0", "late"] and torch.equal(d["late"].output, plain + 1)
    with trace(net, ["body.0"], edit_output=lambda o, layer: 0 * o):
        assert torch.equal(net(x), net.late(net.body[1].lin(torch.zeros(3, 4))))


def test_stop_is_harmless_when_the_module_never_runs(trace, net, x):
    """baukit itself raises a TypeError here (hazard 12)."""
    with trace(net, ["body.0", "unused"], stop=True) as d:
        net(x)
    assert net.ran[-1] == "end" and d["body.0"].output is not None and d["unused"].output is None
    with trace(net, ["body.0"], stop=True):
        pass
    assert n_hooks(net) == 0


@pytest.mark.parametrize("names", [["body.1", "body.0"], ["body.0", "body.1"], ["body.1", "body.0", "body.1"]])
def test_a_dict_stops_after_the_last_that_runs(trace, net, x, names):
    """In the order of execution; baukit itself stops after the last name in the list (hazard 12)."""
    edited = []
    with trace(net, iter(names), stop=True, edit_output=lambda output, layer: edited.append(layer) or output) as d:
        net(x)
        raise AssertionError("the pass went on")
    assert net.ran == ["first", "second"] and edited == ["body.0", "body.1"]
    assert set(d) == set(names) and n_hooks(net) == 0


def test_unknown_names_leave_nothing_behind(trace, net):
    for name in ("body.7", "nowhere", "late.weight"):
        with pytest.raises(LookupError, match=name):
            trace(net, ["body.0", name], stop=True)
    assert n_hooks(net) == 0


@pytest.mark.parametrize("stop", [False, True])
def test_errors_pass_through_and_the_model_is_restored(trace, net, x, stop):
    before = net(x)

    def broken(output, layer):
        raise ZeroDivisionError("in the hook")

    for error, edit in ((ZeroDivisionError, broken), (KeyboardInterrupt, lambda output, layer: 5 * output)):
        with pytest.raises(error):
            with trace(net, ["unused", "body.0", "late"], edit_output=edit, stop=stop):
                net(x)
                raise KeyboardInterrupt
        assert n_hooks(net) == 0 and torch.equal(net(x), before)
    with pytest.raises(tracing.StopForward):  # of another context: this one did not ask for it
        with trace(net, ["late"]):
            raise tracing.StopForward
    with trace(net, ["body.0"], stop=True), trace(net, ["late"]) as inner:
        net(x)
    assert inner["late"].output is None and n_hooks(net) == 0


def test_traces_nest(trace, net, x):
    """Hooks run in the order in which they were set, so an inner trace sees what an outer one edited."""
    seen = []
    with trace(net, ["body.0"], edit_output=lambda o, layer: o + 1):
        with trace(net, ["body.0"], edit_output=lambda o, layer: seen.append(o.clone()) or o):
            net(x)
    assert torch.equal(seen[0], net.body[0](x) + 1)


def test_a_block_may_return_a_tuple_or_a_tensor():
    """``hidden`` is the whole batch either way: taking item 0 of a tensor would drop all texts but one (hazard 3)."""
    h = torch.randn(2, 3, 4)
    for output in (h, (h, "cache")):
        assert tracing.hidden(output) is h
        new = tracing.with_hidden(output, 2 * h)
        assert type(new) is type(output) and torch.equal(tracing.hidden(new), 2 * h)
    assert tracing.with_hidden((h, "cache"), h)[1] == "cache"


def test_of_parallel_streams_one_is_read_and_edited():
    h = torch.randn(4, 2, 3, 5)
    new = tracing.with_hidden(h, 2 * h[1], 1)
    assert torch.equal(tracing.hidden(h, 1), h[1]) and torch.equal(new[1], 2 * h[1]) and torch.equal(new[0], h[0])


@pytest.mark.parametrize("fault", ["ImportError('no torchvision')", "RuntimeError('operator torchvision::nms')"])
def test_a_baukit_that_cannot_be_imported_is_done_without(tmp_path, fault):
    (tmp_path / "baukit").mkdir()
    (tmp_path / "baukit" / "__init__.py").write_text(f"raise {fault}")
    lib = str(Path(tracing.__file__).parents[2])
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {lib!r}]\nfrom emotion_concepts.lm import tracing\n"
    code += "print(tracing.BACKEND)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "own", done.stderr
