"""Claims, results and figures."""
