"""Muon on CPUs that have no bfloat16 of their own, where PyTorch's emulates it (about thirty times slower)."""

import torch
from torch.optim import _muon


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies in bfloat16 itself."""
    return device != "cpu" or torch.cpu._is_avx512_bf16_supported()


def orthogonalised(grad: torch.Tensor, coefficients: tuple, steps: int, eps: float) -> torch.Tensor:
    """The gradient matrix with its singular values near 1: Newton-Schulz steps as PyTorch's Muon, but in float32."""
    a, b, c = coefficients
    wide = grad.shape[0] <= grad.shape[1]
    x = grad.float() if wide else grad.float().T
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T


def use_float32() -> None:
    """Let every Muon of this process orthogonalise in float32; PyTorch has no option for it."""
    _muon._zeropower_via_newtonschulz = orthogonalised
