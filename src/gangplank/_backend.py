"""Imports Keras first of all, so that a missing backend is told of in words that help."""

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    backend = (error.name or "").partition(".")[0]
    if backend not in ("tensorflow", "jax", "torch"):
        raise
    raise ModuleNotFoundError(
        f"Keras uses the {backend!r} backend, but {backend!r} cannot be imported. "
        f"Install it with: pip install 'gangplank[{backend}]', or name another backend in the "
        "environment variable KERAS_BACKEND.",
        name=backend,
    ) from None
