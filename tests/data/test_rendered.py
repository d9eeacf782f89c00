from typing import Any

import numpy as np
import pytest

from gta.data import rendered as renderer
from gta.data.rendered import Rendered, render, upstream
from gta.errors import GtaError

SMALL: dict[str, Any] = {"per_class": 6, "heldout_images": 28, "test_images": 42}


@pytest.fixture(scope="module", params=list(renderer.SETS))
def rendered(request) -> Rendered:
    return render(request.param, seed=5, **SMALL)


def test_shapes_and_splits(rendered):
    n = 6 * 14 + 28 + 42
    assert rendered.images.shape == (n, 48, 48, 3)
    assert rendered.images.dtype == np.uint8
    assert rendered.masks.shape == (n, 48, 48)
    assert rendered.masks.dtype == np.bool_
    assert rendered.labels.dtype == np.int64
    assert dict(zip(*np.unique(rendered.split, return_counts=True), strict=True)) == {
        "train": 84,
        "heldout": 28,
        "test": 42,
    }
    for split, each in (("train", 6), ("heldout", 2), ("test", 3)):
        counts = np.bincount(rendered.labels[rendered.split == split], minlength=14)
        assert counts.tolist() == [each] * 14
    assert len(set(rendered.classes)) == 14


def test_every_object_is_seen_nearly_whole(rendered):
    share = rendered.masks.mean(axis=(1, 2))
    assert share.min() > 0.05
    assert share.max() < 0.5
    border = np.ones((48, 48), dtype=bool)
    border[1:-1, 1:-1] = False
    assert rendered.masks[:, border].mean(axis=1).max() < 0.1


def digest_of(images: renderer.Rendered) -> str:
    return renderer.digest(images.images, images.masks, images.labels, images.split)


def test_is_a_pure_function_of_name_and_seed(rendered):
    def digests(seed: int) -> list[str]:
        return [digest_of(render(name, seed=seed, **SMALL)) for name in renderer.SETS]

    same = digests(5)
    assert digest_of(rendered) in same
    assert same[0] != same[1]
    assert digest_of(rendered) not in digests(6)


def test_a_split_does_not_depend_on_the_size_of_the_others():
    a = render("mini_near", 5, per_class=2, heldout_images=10, test_images=20)
    b = render("mini_near", 5, per_class=4, heldout_images=30, test_images=20)
    np.testing.assert_array_equal(a.images[a.split == "test"], b.images[b.split == "test"])


def test_marks_on_the_object_have_the_hue_of_the_class(rendered):
    """Within the mask, the saturated pixels' mean direction on the hue circle is the class's."""
    pixels = rendered.images.astype(float) / 255
    high, low = pixels.max(-1), pixels.min(-1)
    vivid = rendered.masks & (high - low > 0.7) & (high > 0.75)
    r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    angle = np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b)
    right = []
    for label, where, hues in zip(rendered.labels, vivid, angle, strict=True):
        if where.sum() < 4:
            continue
        turn = np.angle(np.exp(1j * hues[where]).mean()) / (2 * np.pi)
        distance = abs((turn - (label / 14 + 0.03) + 0.5) % 1 - 0.5)
        right.append(distance < 0.04)
    assert len(right) > 80
    assert np.mean(right) > 0.9


def test_background_is_tied_to_the_class_in_training_only():
    """The nearest class mean of background colours tells the class in training, not in testing."""
    r = render("mini_near", 5, per_class=30, heldout_images=14, test_images=280)
    outside = np.where(r.masks[..., None], np.nan, r.images.astype(float))
    colors = np.nanmedian(outside.reshape(len(outside), -1, 3), axis=1)
    train, test = r.split == "train", r.split == "test"
    means = np.stack([np.median(colors[train & (r.labels == c)], axis=0) for c in range(14)])
    nearest = np.linalg.norm(colors[:, None] - means, axis=2).argmin(axis=1)
    hit = nearest == r.labels
    assert hit[train].mean() > 0.3
    assert hit[test].mean() < 0.2


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("mini_middle", {}, "mini_near, mini_far"),
        ("mini_near", {"per_class": 0}, "at least one image"),
    ],
)
def test_bad_input_is_one_line(name, sizes, message):
    with pytest.raises(GtaError, match=message) as error:
        render(name, 0, **sizes)
    assert "\n" not in str(error.value)


def test_upstream_siblings_share_a_body_and_views_a_hue():
    corpus = upstream(3, objects=6, views=2, siblings=3)
    assert corpus.images.shape == (6, 2, 48, 48, 3)
    assert corpus.masks.shape == (6, 2, 48, 48)
    o = corpus.objects
    assert len(np.unique(o.hue)) == 2
    assert len(np.unique(o.mark_hue)) == 12
    assert corpus.digest == upstream(3, objects=6, views=2, siblings=3).digest
    assert not np.array_equal(corpus.images[:, 0], corpus.images[:, 1])


def test_upstream_and_downstream_marks_are_disjoint():
    known = set(renderer.UPSTREAM.marks)
    families = renderer.SETS.values()
    assert all(known.isdisjoint(f.marks) and set(f.marks) <= set(renderer.MARKS) for f in families)


def test_progress_ends_at_the_number_of_images():
    calls: list[tuple[int, int]] = []
    render("mini_far", 0, **SMALL, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (154, 154)
    assert calls == sorted(calls)
