"""What is raised when a native kernel cannot be had."""


class NotAvailable(RuntimeError):
    """Say that a native kernel is not there: the trial is "not measured here".

    Args:
        must: What must hold.
        got: What was found instead.
        remedy: What to do, or to install.
    """

    def __init__(self, must: str, got: str, remedy: str) -> None:
        """Keep the three parts, so that a report can show the remedy apart."""
        super().__init__(f"{must}; got {got}. {remedy}")
        self.must, self.got, self.remedy = must, got, remedy

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """Pickle by the three parts: a worker process hands this to its parent."""
        return type(self), (self.must, self.got, self.remedy)


class Required(RuntimeError):
    """Say that `kernels.use("require")` was asked for and a kernel is missing: an error."""
