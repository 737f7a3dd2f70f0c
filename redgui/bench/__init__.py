"""The benchmark: pictures x operators x samplers x noise levels x seeds, in batches, resumable.

    for row in bench(pictures("examples", 64, 64), prior, ["inpaint", "superres"], ["reddiff", "ddrm"], out="out"): ...

A job is one picture under one setting. Each finished job is one line of `rows-*.jsonl`, under a key made of all that determines
it; a run that was killed goes on with the jobs whose keys are missing. Several processes (`accelerate launch`) share the jobs
out, each writes files of its own, and the rows are the same to the bit: what is batched together depends neither on the number
of processes nor on where a run was cut. (On a CPU each process needs as many threads as the one had: sums have their order.)
"""

from redgui.bench.judge import Judges
from redgui.bench.loop import bench, finished, run
from redgui.bench.plan import SHOWN, BenchError, Job, Picture, jobs, pictures
from redgui.bench.rows import read, record_of, setting, summarise

__all__ = ["SHOWN", "BenchError", "Job", "Judges", "Picture", "bench", "finished", "jobs", "pictures", "read", "record_of",
           "run", "setting", "summarise"]  # fmt: skip
