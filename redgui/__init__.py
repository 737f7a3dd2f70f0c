"""redgui: see and compare how diffusion models solve inverse problems.

The package imports nothing heavy by itself; take what you need from its modules:
`redgui.priors`, `redgui.operators`, `redgui.samplers`, `redgui.runs.problem`.
"""

__version__ = "0.1.0"
