"""What a digest in a record or an answer looks like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a file of code."""
