"""Reading and editing what modules compute: the one place that hooks a model.

:class:`TraceDict` keeps baukit's contract (``retain_output``, ``edit_output``, ``stop``, dotted module names). Where
baukit is installed it is baukit's, with its sharp edges taken off (``stop`` when nothing stopped, ``stop`` after the
last module that *runs*: hazard 12); elsewhere the few lines below serve.

    with TraceDict(model, ["model.layers.3"], edit_output=lambda x, name: 0 * x) as t:
        model(ids)
    t["model.layers.3"].output
"""

import contextlib

import torch

try:
    import baukit.nethook as _baukit
except (ImportError, RuntimeError):  # baukit imports torchvision, which raises the latter where it does not fit torch
    _baukit = None

BACKEND = "baukit" if _baukit else "own"


class StopForward(Exception):
    """Raised inside a forward pass to end it; never leaves a :class:`TraceDict`."""


def _module(model, name):
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise LookupError(f"no module {name!r}; see [n for n, _ in model.named_modules()]") from None


class _Trace:
    """One module's hook: edits its output, keeps it where asked."""

    def __init__(self, module, name, retain_output=True, edit_output=None):
        self.output = None

        def hook(_, inputs, output):
            if edit_output:
                output = edit_output(output, name)
            if retain_output:
                self.output = output
            return output

        self._handle = _module(module, name).register_forward_hook(hook)

    def close(self):
        """Remove the hook."""
        self._handle.remove()


class TraceDict(dict, contextlib.AbstractContextManager):
    """Hook modules by dotted name while the context lasts; the model is as before when it ends, whatever happened.

    ``edit_output(output, name)`` returns what the model goes on with; ``retain_output`` keeps it in
    ``self[name].output`` (None before the module ran); ``stop`` ends the forward pass once every listed module has
    run, which is no error. Raises ``LookupError`` for an unknown name, before any hook is set.
    """

    def __init__(self, module, layers, *, stop=False, retain_output=True, edit_output=None):
        super().__init__()
        names = list(dict.fromkeys(layers))
        modules = {name: _module(module, name) for name in names}
        make = _baukit.Trace if _baukit else _Trace
        for name in names:
            self[name] = make(module, name, retain_output=retain_output, edit_output=edit_output)
            self[name].output = None
        self.stop, self._stops, left = stop, [], set(names)
        for name in names if stop else ():

            def passed(*_, name=name):  # set after the tracing hooks, so runs after them
                left.discard(name)
                if not left:
                    raise StopForward

            self._stops.append(modules[name].register_forward_hook(passed))

    def close(self):
        """Remove every hook."""
        for handle in self._stops:
            handle.remove()
        for trace in self.values():
            trace.close()

    def __exit__(self, kind, value, traceback):
        self.close()
        return bool(self.stop and kind is not None and issubclass(kind, StopForward))


def hidden(output, stream: int | None = None) -> torch.Tensor:
    """The residual stream in a block's output, (batch, tokens, width); newer models return it bare (hazard 3).

    ``stream``: which of several parallel streams (streams, batch, tokens, width) is meant, where a model has them.
    """
    h = output if torch.is_tensor(output) else output[0]
    return h if stream is None else h[stream]


def with_hidden(output, new: torch.Tensor, stream: int | None = None):
    """``output`` with its residual stream replaced, in the shape in which the block returned it."""
    if stream is not None:
        every = hidden(output).clone()
        every[stream] = new
        new = every
    return new if torch.is_tensor(output) else (new, *output[1:])
