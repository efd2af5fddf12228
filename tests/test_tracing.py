"""One contract of Trace and TraceDict, held against every implementation that is installed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from emotion_concepts.lm import tracing

BAUKIT = pytest.mark.skipif(tracing.BACKEND != "baukit", reason="baukit is not installed")
KINDS = {"own": (tracing.OwnTrace, tracing.OwnTraceDict), "baukit": (tracing.Trace, tracing.TraceDict)}


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
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def x():
    return torch.arange(12.0).view(3, 4) / 12


def n_hooks(net):
    return sum(len(m._forward_hooks) for m in net.modules())


def test_retains_what_is_asked_for(kind, net, x):
    trace, _ = kind
    with trace(net, "body.1.lin", retain_input=True) as t:
        out = net(x)
    assert torch.equal(t.output, net.body[1].lin(t.input)) and torch.equal(net.late(t.output), out)
    with trace(net, "body.1") as t:  # a tuple is kept as it is
        net(x)
    assert isinstance(t.output, tuple) and t.output[1].shape == () and t.input is None
    with trace(net, "late", retain_output=False) as t:
        net(x)
    assert t.output is None
    with trace(net) as t:  # the module itself
        out = net(x)
    assert t.output is out
    with trace(net, "unused") as t:
        net(x)
    assert t.output is None and t.input is None


def test_clone_and_detach(kind, net, x):
    trace, _ = kind
    first = net.body[0](x)
    with trace(net, "body.0", clone=True) as t:
        net(x)
    assert torch.equal(t.output, first) and t.output.requires_grad
    with trace(net, "body.0") as t:
        net(x)
    assert torch.equal(t.output, 2 * first)  # a reference follows what the model does in place
    with trace(net, "late", detach=True, retain_input=True) as t:
        out = net(x)
    assert not t.output.requires_grad and not t.input.requires_grad and out.requires_grad
    assert t.output.data_ptr() == out.data_ptr()
    with trace(nn.Sequential(Net().body[0]), "0", clone=True, detach=True, retain_input=True) as t:
        net.body[0](x)
    assert t.output is None  # another model's module of the same name is not hooked


def test_edits_with_one_argument_and_with_two(kind, net, x):
    trace, trace_dict = kind
    plain = net(x)
    with trace(net, "body.0", edit_output=lambda o: 0 * o) as t:
        out = net(x)
    assert not t.output.any() and torch.equal(out, net.late(net.body[1].lin(torch.zeros(3, 4))))
    names = []

    def edit(output, layer):
        names.append(layer)
        return output + 1 if layer == "late" else output

    with trace(net, "late", edit_output=edit) as t:
        assert torch.equal(net(x), plain + 1)
    with trace_dict(net, ["late", "body.0"], edit_output=edit) as d:
        assert torch.equal(net(x), plain + 1)
    assert names == ["late", "body.0", "late"]
    assert torch.equal(d["late"].output, plain + 1)  # what is retained is what the model went on with
    with trace_dict(net, ["late", "body.0"], edit_output=lambda o: o * 1) as d:
        assert torch.equal(net(x), plain)


def test_stop_ends_the_pass(kind, net, x):
    trace, _ = kind
    with trace(net, "body.0", stop=True) as t:
        net(x)
        raise AssertionError("the pass went on")
    assert net.ran == ["first"] and t.output.shape == (3, 4)
    with trace(net, "body.0", stop=True, edit_output=lambda o: 0 * o) as t:
        net(x)
    assert not t.output.any()


def test_stop_is_harmless_when_the_module_never_runs(kind, net, x):
    """baukit itself raises a TypeError here (hazard 12)."""
    trace, trace_dict = kind
    with trace(net, "unused", stop=True) as t:
        net(x)
    assert net.ran[-1] == "end" and t.output is None
    with trace_dict(net, ["body.0", "unused"], stop=True) as d:
        net(x)
    assert net.ran[-1] == "end" and d["body.0"].output is not None and d["unused"].output is None
    with trace(net, "body.0", stop=True):
        pass
    assert n_hooks(net) == 0


@pytest.mark.parametrize("names", [["body.1", "body.0"], ["body.0", "body.1"], ["body.1", "body.0", "body.1"]])
def test_a_dict_stops_after_the_last_that_runs(kind, net, x, names):
    """In the order of execution; baukit itself stops after the last name in the list (hazard 12)."""
    _, trace_dict = kind
    edited = []
    with trace_dict(
        net,
        iter(names),
        stop=True,
        retain_input=True,
        detach=True,
        edit_output=lambda o, layer: edited.append(layer) or o,
    ) as d:
        net(x)
        raise AssertionError("the pass went on")
    assert net.ran == ["first", "second"] and edited == ["body.0", "body.1"]
    assert set(d) == set(names) and n_hooks(net) == 0
    assert d["body.0"].input is not None and d["body.1"].input is not None
    assert not d["body.0"].output.requires_grad and not d["body.1"].output[0].requires_grad
    with trace_dict(net, ["body.0"], stop=True, retain_output=False) as d:
        net(x)
    assert d["body.0"].output is None and net.ran == ["first"]


def test_unknown_names_leave_nothing_behind(kind, net):
    trace, trace_dict = kind
    for name in ("body.7", "nowhere", "late.weight"):
        with pytest.raises(LookupError, match=name):
            trace(net, name)
        with pytest.raises(LookupError, match=name):
            trace_dict(net, ["body.0", name], stop=True)
    assert n_hooks(net) == 0


@pytest.mark.parametrize("stop", [False, True])
def test_errors_pass_through_and_the_model_is_restored(kind, net, x, stop):
    trace, trace_dict = kind
    before = net(x)

    def broken(output):
        raise ZeroDivisionError("in the hook")

    for error, edit in ((ZeroDivisionError, broken), (KeyboardInterrupt, lambda output: 5 * output)):
        with pytest.raises(error):
            with trace(net, "body.0", edit_output=edit):
                net(x)
                raise KeyboardInterrupt
        with pytest.raises(error):
            with trace_dict(net, ["unused", "body.0", "late"], edit_output=edit, stop=stop):
                net(x)
                raise KeyboardInterrupt
        assert n_hooks(net) == 0 and torch.equal(net(x), before)
    with pytest.raises(tracing.STOPS):  # of another context: this one did not ask for it
        with trace(net, "late"):
            raise tracing.StopForward
    with trace(net, "body.0", stop=True), trace(net, "late") as inner:
        net(x)
    assert inner.output is None and n_hooks(net) == 0


def test_traces_nest(kind, net, x):
    """Hooks run in the order in which they were set, so an inner trace sees what an outer one edited."""
    trace, _ = kind
    with trace(net, "body.0", edit_output=lambda o: o + 1), trace(net, "body.0", clone=True) as t:
        net(x)
    assert torch.equal(t.output, net.body[0](x) + 1)


def test_a_block_may_return_a_tuple_or_a_tensor():
    """``hidden`` is the whole batch either way: taking item 0 of a tensor would drop all texts but one (hazard 3)."""
    h = torch.randn(2, 3, 4)
    for output in (h, (h, "cache")):
        assert tracing.hidden(output) is h
        new = tracing.with_hidden(output, 2 * h)
        assert type(new) is type(output) and torch.equal(tracing.hidden(new), 2 * h)
    assert tracing.with_hidden((h, "cache"), h)[1] == "cache"


def test_the_library_uses_what_is_installed():
    own = tracing.BACKEND == "own"
    assert (tracing.Trace is tracing.OwnTrace) == (tracing.TraceDict is tracing.OwnTraceDict) == own


@pytest.mark.parametrize("fault", ["ImportError('no torchvision')", "RuntimeError('operator torchvision::nms')"])
def test_a_baukit_that_cannot_be_imported_is_done_without(tmp_path, fault):
    (tmp_path / "baukit").mkdir()
    (tmp_path / "baukit" / "__init__.py").write_text(f"raise {fault}")
    lib = str(Path(tracing.__file__).parents[2])
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {lib!r}]\nfrom emotion_concepts.lm import tracing\n"
    code += "print(tracing.BACKEND)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "own", done.stderr
