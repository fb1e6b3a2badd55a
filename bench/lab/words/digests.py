"""What a digest in a record or an answer looks like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a file of code."""

GENERATED = "__autograph_generated_file"
"""What TensorFlow's AutoGraph calls what it makes of a function, with random letters after it."""
