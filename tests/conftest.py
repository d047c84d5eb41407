"""What tests of every area may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from huashen import weights
from huashen.errors import MissingWeightsError

os.environ["HUASHEN_LANG"] = "en"  # tests look for English words in the texts


@pytest.fixture(scope="session")
def weight() -> Callable[[str], Path]:
    """A function from a card's name to its file; it skips the test where that can neither be found nor fetched."""

    def find(name: str) -> Path:
        try:
            return weights.path(name)
        except MissingWeightsError as error:
            pytest.skip(f"wants the weights '{name}': {error}")

    return find


@pytest.fixture(scope="session")
def astronaut(weight: Callable[[str], Path]) -> Image.Image:
    """The example portrait, 512 × 512 RGB."""
    with Image.open(weight("astronaut")) as picture:
        return picture.convert("RGB")


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real faces, clips and speech."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "real"
    folder = Path(os.environ.get("HUASHEN_REAL", beside))
    if not folder.is_dir():
        pytest.skip(f"wants real faces and clips in HUASHEN_REAL or {beside}")
    return folder
