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

import torch

try:
    import baukit.nethook as _baukit
except ImportError:
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
    import inspect

    takes = inspect.signature(function).parameters
    return function(output, layer) if len(takes) > 1 or "layer" in takes else function(output)


class OwnTrace(contextlib.AbstractContextManager):
    """Hook one module while the context lasts; the model is as before when it ends, whatever happened.

    ``layer`` is a dotted name inside ``module`` (None: the module itself). ``output`` and ``input`` hold what was
    retained; ``edit_output`` may return something else for the model to go on with; ``stop`` ends the forward pass
    after this module. Raises ``LookupError`` for an unknown name.
    """

    def __init__(
        self, module, layer=None, retain_output=True, retain_input=False, clone=False, detach=False,
        edit_output=None, stop=False,
    ):  # fmt: skip
        self.output = self.input = None
        self.layer, self.stop = layer, stop
        target = _module(module, layer)

        def hook(_, inputs, output):
            if retain_input:
                self.input = _recursive(inputs[0] if len(inputs) == 1 else inputs, clone, detach)
            if edit_output:
                output = _edit(edit_output, output, layer)
            if retain_output:
                self.output = _recursive(output, clone, detach)
                if clone:  # what was kept must not be what the model goes on to change
                    output = _recursive(output, True, False)
            if stop:
                raise StopForward
            return output

        self._handle = target.register_forward_hook(hook)

    def __exit__(self, kind, value, traceback):
        self.close()
        return bool(self.stop and kind is not None and issubclass(kind, STOPS))

    def close(self):
        """Remove the hook."""
        self._handle.remove()


class OwnTraceDict(dict, contextlib.AbstractContextManager):
    """Several :class:`OwnTrace` at once, by name; ``stop`` ends the pass once every listed module has run."""

    def __init__(self, module, layers, stop=False, edit_output=None, **options):
        super().__init__()
        self.stop = stop
        self._left, self._retain = set(layers), options.get("retain_output", True)
        try:
            for name in layers:
                self[name] = OwnTrace(module, name, edit_output=self._editor(name, edit_output), **options)
        except LookupError:
            self.close()
            raise

    def _editor(self, name, edit_output):
        if not (self.stop or edit_output):
            return None

        def edit(output, layer):
            if edit_output:
                output = _edit(edit_output, output, name)
            self._left.discard(name)
            if self.stop and not self._left:
                if self._retain:
                    self[name].output = output
                raise StopForward
            return output

        return edit

    def __exit__(self, kind, value, traceback):
        self.close()
        return bool(self.stop and kind is not None and issubclass(kind, STOPS))

    def close(self):
        """Remove every hook."""
        for trace in self.values():
            trace.close()


def _module(model, name):
    if name is None:
        return model
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise LookupError(f"no module {name!r}; see [n for n, _ in model.named_modules()]") from None


if _baukit:

    class Trace(_baukit.Trace):
        """baukit's Trace; ``stop`` is harmless when nothing stopped (hazard 12)."""

        def __exit__(self, kind, value, traceback):
            self.close()
            return bool(self.stop and kind is not None and issubclass(kind, STOPS))

    class TraceDict(_baukit.TraceDict):
        """baukit's TraceDict; ``stop`` ends the pass once every listed module has run (hazard 12)."""

        def __init__(self, module, layers=None, stop=False, edit_output=None, **options):
            left = set(layers)

            def edit(output, layer):
                if edit_output:
                    output = _edit(edit_output, output, layer)
                left.discard(layer)
                if not left:
                    if options.get("retain_output", True):
                        self[layer].output = output
                    raise StopForward
                return output

            super().__init__(module, layers, edit_output=edit if stop else edit_output, **options)
            self.stop = stop

        def __exit__(self, kind, value, traceback):
            self.close()
            return bool(self.stop and kind is not None and issubclass(kind, STOPS))

else:
    Trace, TraceDict = OwnTrace, OwnTraceDict
