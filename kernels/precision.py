"""Which dtype a technique accumulates in."""


def accumulation_dtype(dtype: str) -> str:
    """Return the dtype in which sums, squares and statistics are kept.

    float16 squares underflow below 2⁻¹² and bfloat16 keeps 8 bits, so both accumulate in float32.

    Args:
        dtype: Name of the dtype of the values, such as ``"bfloat16"``.

    Returns:
        ``"float64"`` for float64 and ``"float32"`` for everything else.
    """
    return "float64" if dtype == "float64" else "float32"
