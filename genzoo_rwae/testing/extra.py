"""What is missing where the extra `testing` is not installed."""

from __future__ import annotations

from genzoo_rwae.errors import GenzooError

__all__ = ["MissingExtraError"]


class MissingExtraError(GenzooError, ImportError):
    """Hypothesis, with which the kit draws its examples, is not installed."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "genzoo_rwae.testing draws its examples with hypothesis, which is not installed: "
            "pip install 'genzoo-rwae[testing]'"
        )
