"""Reading and editing what modules compute: the one place that hooks a model.

:class:`Trace` and :class:`TraceDict` keep baukit's contract (``retain_output``, ``retain_input``, ``clone``,
``detach``, ``edit_output``, ``stop``, dotted module names). Where baukit is installed they are baukit's, with its
two sharp edges taken off (``stop`` when nothing stopped; ``stop`` after the last module that *runs*); elsewhere the
few lines below serve.

    with Trace(model, "model.layers.3", edit_output=lambda x: 0 * x) as t:
        model(ids)
    t.output
"""

import contextlib
import inspect

import torch

try:
    import baukit.nethook as _baukit
except (ImportError, RuntimeError):  # baukit imports torchvision, which raises the latter where it does not fit torch
    _baukit = None

BACKEND = "baukit" if _baukit else "own"


class StopForward(Exception):
    """Raised inside a forward pass to end it; never leaves a :class:`Trace`."""


STOPS = (StopForward, _baukit.StopForward) if _baukit else (StopForward,)


def hidden(output) -> torch.Tensor:
    """The residual stream in a block's output, (batch, tokens, width); newer models return it bare (hazard 3)."""
    return output if torch.is_tensor(output) else output[0]


def with_hidden(output, new: torch.Tensor):
    """``output`` with its residual stream replaced, in the shape in which the block returned it."""
    return new if torch.is_tensor(output) else (new, *output[1:])


def _recursive(x, clone: bool, detach: bool):
    if torch.is_tensor(x):
        x = x.detach() if detach else x
        return x.clone() if clone else x
    if isinstance(x, dict):
        return type(x)({k: _recursive(v, clone, detach) for k, v in x.items()})
    if isinstance(x, (list, tuple)):
        return type(x)(_recursive(v, clone, detach) for v in x)
    return x


def _edit(function, output, layer):
    """Call ``edit_output`` with the arguments that it takes: ``(output)`` or ``(output, layer)``."""
    return function(output, layer) if len(inspect.signature(function).parameters) > 1 else function(output)


def _module(model, name):
    if name is None:
        return model
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise LookupError(f"no module {name!r}; see [n for n, _ in model.named_modules()]") from None


class _Leave:
    """Leaving the context removes every hook; a pass ended by ``stop`` is no error, anything else is (hazard 12)."""

    def __exit__(self, kind, value, traceback):
        self.close()
        return bool(self.stop and kind is not None and issubclass(kind, STOPS))


class _LeaveAll(_Leave):
    """What both kinds of TraceDict share: names checked before any hook is set, ``stop`` once all have run."""

    def _hook(self, module, layers, stop, options):
        names = list(dict.fromkeys(layers))
        for name in names:
            _module(module, name)
        self._fill(module, names, options)
        self.stop, self._stops, left = stop, [], set(names)
        for name in names if stop else ():

            def passed(*_, name=name):  # set after the tracing hooks, so runs after them
                left.discard(name)
                if not left:
                    raise StopForward

            self._stops.append(_module(module, name).register_forward_hook(passed))

    def close(self):
        """Remove every hook."""
        for handle in self._stops:
            handle.remove()
        for trace in self.values():
            trace.close()


class OwnTrace(_Leave, contextlib.AbstractContextManager):
    """Hook one module while the context lasts; the model is as before when it ends, whatever happened.

    ``layer`` is a dotted name inside ``module`` (None: the module itself). ``output`` and ``input`` hold what was
    retained, None before; ``edit_output`` returns what the model goes on with; ``stop`` ends the forward pass
    after this module. Raises ``LookupError`` for an unknown name.
    """

    def __init__(
        self, module, layer=None, retain_output=True, retain_input=False, clone=False, detach=False,
        edit_output=None, stop=False,
    ):  # fmt: skip
        self.output = self.input = None
        self.layer, self.stop = layer, stop

        def hook(_, inputs, output):
            if retain_input:
                self.input = _recursive(inputs[0] if len(inputs) == 1 else inputs, clone, detach)
            if edit_output:
                output = _edit(edit_output, output, layer)
            if retain_output:
                self.output = _recursive(output, clone, detach)
            if stop:
                raise StopForward
            return output

        self._handle = _module(module, layer).register_forward_hook(hook)

    def close(self):
        """Remove the hook."""
        self._handle.remove()


class OwnTraceDict(_LeaveAll, dict, contextlib.AbstractContextManager):
    """Several :class:`OwnTrace` at once, by name; ``stop`` ends the pass once every listed module has run."""

    def __init__(self, module, layers, *, stop=False, **options):
        super().__init__()
        self._hook(module, layers, stop, options)

    def _fill(self, module, names, options):
        for name in names:
            self[name] = OwnTrace(module, name, **options)


if _baukit:

    class Trace(_Leave, _baukit.Trace):
        """baukit's Trace; ``stop`` is harmless when nothing stopped (hazard 12)."""

        output = input = None

    class TraceDict(_LeaveAll, _baukit.TraceDict):
        """baukit's TraceDict; ``stop`` ends the pass once every listed module has run (hazard 12)."""

        def __init__(self, module, layers, *, stop=False, **options):
            self._hook(module, layers, stop, options)

        def _fill(self, module, names, options):
            _baukit.TraceDict.__init__(self, module, names, **options)
            for trace in self.values():
                trace.output = trace.input = None

else:
    Trace, TraceDict = OwnTrace, OwnTraceDict
