"""A stand-in for the package `spaces` on ZeroGPU: a forked worker, everything through pickle, generators, durations.

As the real one does: the duration is called with the function's own arguments; arguments and yields travel through queues
between processes; the worker runs ahead of who reads; it looks whether it is to end between two yields; whoever closes the
generator waits for that; an exception comes back as gr.Error with the name of its class.
"""

import inspect
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import wraps

import gradio as gr

fork = multiprocessing.get_context("fork")
asked: list[float] = []  # seconds of every call
ended: list[str] = []  # how its worker ended


def GPU(task=None, *, duration=60, size=None):
    if task is None:
        return lambda task: GPU(task, duration=duration, size=size)
    assert inspect.isgeneratorfunction(task)

    @wraps(task)
    def lent(*args, **kwargs):
        asked.append(duration(*args, **kwargs) if callable(duration) else duration)
        given, found, stop = fork.SimpleQueue(), fork.SimpleQueue(), fork.Event()
        worker = fork.Process(target=_worker, args=(task, given, found, stop), daemon=True)
        worker.start()
        given.put(pickle.dumps((args, kwargs)))
        try:
            while True:
                kind, value = found.get()
                if kind == "end":
                    ended.append("end")
                    return
                if kind == "error":
                    ended.append("error")
                    raise gr.Error(value, title="ZeroGPU worker error", print_exception=False)
                yield pickle.loads(value)
        except GeneratorExit:
            stop.set()
            while found.get()[0] != "end":
                pass
            ended.append("closed")
            raise
        finally:
            worker.join(10)

    return lent


def _worker(task, given, found, stop):
    def iterate():
        args, kwargs = pickle.loads(given.get())
        stream = task(*args, **kwargs)
        while True:
            try:
                value = next(stream)
            except StopIteration:
                break
            except Exception as error:
                found.put(("error", type(error).__name__))
                return
            if stop.is_set():
                stream.close()
                break
            found.put(("value", pickle.dumps(value)))
        found.put(("end", None))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(iterate).result()
