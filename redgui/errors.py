"""The root of all errors that are a person's to mend: one sentence that says what is wrong, what was got, what to do."""

# How torch and its libraries say it: there is no one class for it.
SAID = (
    "out of memory", "not enough memory", "DefaultCPUAllocator", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED",
    # In disguise: there was none for a library's workspace or its own state.
    "nable to find an engine", "nable to find a valid cuDNN algorithm", "CUBLAS_STATUS_NOT_INITIALIZED", "OUT_OF_DEVICE_MEMORY",
)  # fmt: skip


class RedguiError(ValueError):
    """Base of every error that a person can mend, such as KnobError, ImageError, PriorError and OperatorError."""


def in_short(error: BaseException, most: int = 200) -> str:
    """What an error of a library says, for a message of one line: its first line, with the next where that ends in a colon."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]) or type(error).__name__
    return text if len(text) <= most else text[: most - 1] + "…"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is the memory of the device or the machine running out."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in str(error) for words in SAID))
