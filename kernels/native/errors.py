"""What is raised when a native kernel cannot be had."""

_GOT, _TO_DO = "; got ", "; to do: "


class NotAvailable(Exception):
    """Say that a native kernel is not there: the trial is "not measured here".

    It holds one text and has no constructor of its own: TensorFlow's AutoGraph rebuilds an
    exception from its text, and makes a StagingError of one that it cannot rebuild.
    """

    @classmethod
    def because(cls, must: str, got: str, remedy: str) -> "NotAvailable":
        """Make one of its three parts.

        Args:
            must: What must hold.
            got: What was found instead.
            remedy: What to do, or to install.
        """
        return cls(f"{must}{_GOT}{got}{_TO_DO}{remedy}")

    @property
    def must(self) -> str:
        """What must hold."""
        return str(self).partition(_GOT)[0]

    @property
    def got(self) -> str:
        """What was found instead."""
        return str(self).partition(_GOT)[2].rpartition(_TO_DO)[0]

    @property
    def remedy(self) -> str:
        """What to do, or to install."""
        return str(self).rpartition(_TO_DO)[2].strip()


class Required(RuntimeError):
    """Say that `kernels.use("require")` was asked for and a kernel is missing: an error."""
