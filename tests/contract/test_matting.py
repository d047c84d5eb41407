"""Every matting engine keeps the protocol's promises."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from huashen import registry
from huashen.matting import TABLE, Matting


@pytest.fixture(scope="module", params=TABLE.names())
def matting(request: pytest.FixtureRequest, weight: Callable[[str], Path]) -> Any:
    entry = TABLE.get(request.param)
    lacking = registry.missing(entry)
    if lacking:
        pytest.skip(f"wants {', '.join(lacking)}")
    for name in entry.weights:
        weight(name)
    return registry.load("matting", request.param)


def test_it_is_a_matting(matting: Any) -> None:
    assert isinstance(matting, Matting)


@pytest.mark.parametrize("size", [(512, 512), (333, 517), (1500, 1500), (40, 30), (1, 1)])
def test_a_mask_has_the_pictures_size_and_stays_in_range(matting: Any, astronaut: Image.Image, size: tuple[int, int]) -> None:
    image = np.asarray(astronaut.resize(size)).copy()
    before = image.copy()
    mask = matting.mask(image)
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert np.array_equal(image, before)


def test_the_person_is_in_and_the_background_out(matting: Any, astronaut: Image.Image) -> None:
    mask = matting.mask(np.asarray(astronaut))
    assert mask[60:200, 190:260].mean() > 0.97  # face and neck
    assert mask[300:480, 150:280].mean() > 0.95  # suit
    assert mask[20:200, 5:100].mean() < 0.05  # the flag
    assert mask[20:200, 340:420].mean() < 0.05  # the shuttle


def test_a_small_person_is_cut_out_as_a_large_one(matting: Any, astronaut: Image.Image) -> None:
    alone = matting.mask(np.asarray(astronaut.resize((300, 300))))
    scene = Image.new("RGB", (1200, 900), (70, 90, 110))
    scene.paste(astronaut.resize((300, 300)), (500, 400))
    mask = matting.mask(np.asarray(scene))
    assert np.abs(mask[400:520, 560:720] - alone[:120, 60:220]).mean() < 0.04  # head and shoulders
    mask[395:705, 495:805] = 0
    assert mask.mean() < 0.01


def test_the_same_picture_gives_the_same_mask(matting: Any, astronaut: Image.Image) -> None:
    image = np.asarray(astronaut)
    assert np.array_equal(matting.mask(image), matting.mask(image))
