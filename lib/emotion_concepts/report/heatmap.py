"""Texts with each token coloured by a probe, as HTML that shows any text safely."""

import html

import numpy as np


def token_html(tokens: list[str], scores: np.ndarray, limit: float | None = None, title: str = "") -> str:
    """One paragraph of HTML: orange below zero, blue above, full colour at ``limit`` (default: the largest score).

    Tokens are escaped, so markup in a text is shown and not obeyed; the score stands in each token's tooltip.
    """
    scores = np.asarray(scores, dtype=float)
    limit = limit or max(float(np.abs(scores).max()), 1e-9)
    spans = []
    for token, s in zip(tokens, scores):
        rgb = "0,114,178" if s > 0 else "213,94,0"  # Okabe and Ito's blue and vermilion, as in the figures
        alpha = min(1.0, abs(s) / limit) * 0.75
        text = html.escape(token).replace("\n", "&#8629;<br>")
        spans.append(f'<span title="{s:.3f}" style="background:rgba({rgb},{alpha:.2f})">{text}</span>')
    head = f"<b>{html.escape(title)}</b><br>" if title else ""
    return f'<p style="line-height:1.7;font-family:sans-serif">{head}{"".join(spans)}</p>'
