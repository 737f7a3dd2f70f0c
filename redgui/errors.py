"""The root of all errors that are a person's to mend: one sentence that says what is wrong, what was got, what to do."""


class RedguiError(ValueError):
    """Base of KnobError, ImageError, PriorError, OperatorError, SamplerError and RecordError."""
