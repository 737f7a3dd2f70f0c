"""Samplers as jobs of the engine."""

from redgui.priors import Counted
from redgui.runs.rounds import Job
from redgui.runs.shared import Shared
from redgui.runs.stream import measured, solve

SIDE = 16


class Player:
    """A sampler on a problem as a job, with its Steps and the sizes of its calls."""

    def __init__(self, problem, sampler, prior, particles=1, **options):
        self.shared = Shared(prior)
        self.steps = []
        self.problem, self.sampler, self.particles = problem, sampler, particles
        self.job = Job(self.turns(), **options)

    def turns(self):
        counted = Counted(self.shared)
        for step in measured(solve(self.problem, counted, self.sampler, self.particles), self.problem, counted):
            self.steps.append(step)
            yield

    def alone(self, prior, sizes=None):
        """The Steps of a plain loop, its calls filled up to `sizes`."""
        counted = Counted(Shared(prior, sizes))
        return list(measured(solve(self.problem, counted, self.sampler, self.particles), self.problem, counted))
