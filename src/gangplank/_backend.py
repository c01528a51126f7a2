"""Imports Keras first of all, so that a missing backend is told of in words that help."""

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("tensorflow", "jax", "torch"):
        raise
    raise ModuleNotFoundError(
        f"Keras uses the {error.name!r} backend, but {error.name!r} cannot be imported. "
        f"Install it with: pip install 'gangplank[{error.name}]', or name another backend in the "
        "environment variable KERAS_BACKEND.",
        name=error.name,
    ) from None
