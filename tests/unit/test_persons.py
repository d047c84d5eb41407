"""Avatars are made once, whole or not at all, and found again by name (`huashen.persons`)."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from huashen import config, footage, media, persons, studio
from huashen.avatar import Avatar
from huashen.errors import InputError, OutputError, UnreadableError
from huashen.files import alone
from huashen.footage import Footage
from huashen.types import Audio, Frame, Image, Style, Video

SELF = persons.Consent("self", day="2026-11-23")


@pytest.fixture(scope="module")
def face(astronaut: Picture.Image) -> Image:
    return np.asarray(astronaut.crop((96, 0, 352, 256)))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: object) -> Path:
    """A HUASHEN_HOME of the test's own; the weights stay where they are."""
    from huashen import weights

    folder = weights.folder()
    monkeypatch.setattr(weights, "folder", lambda: folder)
    monkeypatch.setattr(config, "home", lambda: tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def clip(face: Image, tmp_path: Path) -> Path:
    """A clip of half a second: a face that glides aside."""
    path = tmp_path / "gliding.mp4"
    silent = Audio(np.zeros(0, np.float32), 0)
    frames = (Frame(np.ascontiguousarray(np.roll(face, k, 1)), silent, k) for k in range(12))
    media.write_video(Video(frames, Fraction(25), (256, 256), 0), path)
    return path


@pytest.mark.parametrize("name", ["anna", "安娜", "Zoë_2", "3d-anna", "அன்னா"])
def test_a_name_has_letters_of_any_script(name: str) -> None:
    assert persons.is_name(name)
    assert persons.check(name)


@pytest.mark.parametrize("name", ["", "a.mp4", "a/b", "..", "-x", "_x", "a b", "a\n", "example", "CON", "x" * 65, "a\\b", "😀", "安" * 80])
def test_what_could_be_a_path_or_an_option_is_no_name(name: str) -> None:
    assert not persons.is_name(name)
    with pytest.raises(InputError):
        persons.check(name)


def test_a_clip_outlives_its_source(clip: Path, home: Path) -> None:
    made = persons.make("安娜", clip, consent=SELF)
    clip.unlink()
    found = persons.find("安娜")
    assert found == made
    assert (found.kind, found.source, found.size, found.fps, found.frames) == ("clip", "gliding.mp4", (256, 256), "25", 12)
    person = found.opened()
    assert isinstance(person, Footage)
    assert (len(person), person.name, len(person.mouths)) == (12, "安娜", 12)
    assert sum(1 for _ in person.images(range(12))) == 12
    assert not list((home / "avatars").glob(".*"))
    assert footage.kept() == []


def test_a_picture_is_found_with_its_face_and_outline(face: Image, tmp_path: Path) -> None:
    media.write_image(tmp_path / "me.png", face)
    persons.make("me", tmp_path / "me.png", consent=SELF)
    fresh = studio.as_avatar(tmp_path / "me.png")
    kept = studio.as_avatar("me")
    assert isinstance(fresh, Avatar)
    assert isinstance(kept, Avatar)
    np.testing.assert_array_equal(kept.image, fresh.image)
    np.testing.assert_array_equal(kept.face.landmarks.points, fresh.face.landmarks.points)
    np.testing.assert_allclose(kept.face.head, fresh.face.head, atol=1e-4)
    assert kept.mask is not None
    assert fresh.mask is not None
    assert np.abs(kept.mask - fresh.mask).max() <= 0.5 / 255 + 1e-6


def test_what_a_clip_given_as_a_file_left_is_taken_over(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footage.prepare(clip)
    monkeypatch.setattr("huashen.face.track.track", lambda *_, **__: pytest.fail("the face was followed again"))
    person = persons.make("anna", clip, consent=SELF).opened()
    footage.tidy(limit=0)
    assert footage.kept() == []
    assert isinstance(person, Footage)
    assert np.isfinite(persons.find("anna").opened().points).all()  # type: ignore[union-attr]


def test_nobody_speaks_without_consent(clip: Path, home: Path) -> None:
    with pytest.raises(InputError, match=r"nobody's consent is given for .*gliding\.mp4: add --consent; give self"):
        persons.make("anna", clip)
    assert not (home / "avatars").exists()
    assert persons.make("collins", "example").consent.kind == "example"


def test_consent_is_a_word_a_sentence_or_a_file(clip: Path, tmp_path: Path) -> None:
    assert persons.as_consent(" Granted ").kind == "granted"
    assert persons.as_consent("李安娜书面同意").text == "李安娜书面同意"
    for wrong in ("yes", "ok", "letter.pdf", "同意"):
        with pytest.raises(InputError, match="no file and no sentence"):
            persons.as_consent(wrong)
    (tmp_path / "letter.txt").write_text("I agree. Anna")
    person = persons.make("anna", clip, consent=persons.as_consent(str(tmp_path / "letter.txt")))
    assert (person.folder / "consent.txt").read_text() == "I agree. Anna"
    assert (person.consent.kind, person.consent.file, len(person.consent.sha256)) == ("record", "consent.txt", 64)
    assert persons.find("anna").consent == person.consent


def test_a_name_is_taken_until_it_is_replaced_or_removed(clip: Path) -> None:
    first = persons.make("anna", clip, consent=SELF)
    for name in ("anna", "Anna"):
        with pytest.raises(InputError, match="there is an avatar 'anna' already"):
            persons.make(name, clip, consent=SELF)
    again = persons.make("anna", clip, consent=persons.Consent("granted"), overwrite=True)
    assert (first.consent.kind, persons.find("anna").consent.kind) == ("self", "granted")
    assert persons.names() == ["anna"]
    persons.remove("anna")
    assert not again.folder.exists()
    with pytest.raises(InputError, match="there is no avatar 'anna'; there are none yet"):
        persons.remove("anna")


def test_one_that_fails_leaves_the_old_one_and_nothing_else(clip: Path, tmp_path: Path, home: Path) -> None:
    persons.make("anna", clip, consent=SELF)
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    with pytest.raises(UnreadableError):
        persons.make("anna", tmp_path / "broken.mp4", consent=SELF, overwrite=True)
    assert persons.find("anna").source == "gliding.mp4"
    assert [entry.name for entry in (home / "avatars").iterdir()] == ["anna"]


def test_a_short_disk_is_said_before_any_work(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=footage.SPARE)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr("huashen.face.track.track", lambda *_, **__: pytest.fail("work began"))
    with pytest.raises(OutputError, match=r"takes about .* MB in .*, and 100 MB are free"):
        persons.make("anna", clip, consent=SELF)
    assert persons.names() == []


def test_a_broken_manifest_says_what_to_do(home: Path) -> None:
    persons.make("anna", "example")
    manifest = home / "avatars" / "anna" / "manifest.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text("{")
    with pytest.raises(UnreadableError, match=r"'anna' is broken .*huashen avatar remove anna"):
        persons.find("anna")
    manifest.write_text(json.dumps(values | {"format": 99, "version": "9.9"}))
    with pytest.raises(UnreadableError, match=r"made by a later Huashen \(9\.9\)"):
        persons.find("anna")
    manifest.write_text(json.dumps(values | {"size": "large"}))
    with pytest.raises(UnreadableError, match="is broken"):
        persons.find("anna")
    persons.remove("anna")
    assert persons.names() == []


def test_a_name_is_an_avatar_before_it_is_a_file(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, tmp_path / "anna")
    shutil.copy(clip, tmp_path / "bert")
    persons.make("anna", "example")
    assert isinstance(studio.as_known("anna"), Avatar)
    for file in ("./anna", "bert", Path("anna")):
        assert studio.as_known(file) == file
    with pytest.raises(UnreadableError, match="carl is neither a file nor a prepared avatar; there are: anna"):
        studio.as_known("carl")
    with pytest.raises(InputError, match="leave out --which and --box"):
        studio.as_known("anna", which=0)


def test_a_default_face_may_be_an_avatars_name(home: Path, tmp_path: Path) -> None:
    persons.make("anna", "example")
    for name, meant in (("anna", "anna"), ("me.jpg", str(tmp_path / "me.jpg"))):
        (tmp_path / config.FILE).write_text(f'face = "{name}"')
        assert config.settings(tmp_path).face == meant


def test_clips_not_used_for_longest_go_when_there_are_too_many(clip: Path, tmp_path: Path) -> None:
    sizes = []
    for k in range(3):
        copy = tmp_path / f"copy{k}.mp4"
        shutil.copy(clip, copy)
        with copy.open("ab") as stream:
            stream.write(bytes(8 + k))  # another file, the same pictures
        footage.prepare(copy)
        place, size = footage.kept()[0] if not k else next(one for one in footage.kept() if one[0].name.startswith(f"copy{k}"))
        os.utime(place / "manifest.json", (1000 + k, 1000 + k))
        sizes.append(size)
    footage.prepare(tmp_path / "copy0.mp4")  # used again: now copy1 is the oldest
    assert [place.name[:5] for place, _ in footage.kept()] == ["copy0", "copy2", "copy1"]
    assert footage.tidy(limit=sum(sizes)) == 0
    assert footage.tidy(limit=sum(sizes) - 1) == sizes[1]
    assert [place.name[:5] for place, _ in footage.kept()] == ["copy0", "copy2"]
    assert footage.tidy(footage.cached(tmp_path / "copy2.mp4"), limit=0) == sizes[0]
    assert [place.name[:5] for place, _ in footage.kept()] == ["copy2"]


def test_clips_followed_in_part_and_forgotten_go(home: Path) -> None:
    (home / "footage").mkdir(parents=True)
    old, new = home / "footage" / "old.trail", home / "footage" / "new.trail"
    for trail in (old, new):
        trail.write_bytes(b"x" * 100)
    os.utime(old, (0, 0))
    assert footage.tidy() == 100
    assert (old.exists(), new.exists()) == (False, True)
    with alone(new, "busy"):
        assert footage.tidy(limit=0) == 0
    assert footage.tidy(limit=0) == 100
    assert not new.exists()


@pytest.mark.parametrize(("told", "meant"), [("5 GB", 5_000_000_000), ("1.5g", 1_500_000_000), (700, 700), ("20 MB", 20_000_000), ("0", 0)])
def test_a_limit_is_a_number_of_bytes(told: str | int, meant: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / config.FILE).write_text(f"cache = {json.dumps(told)}")
    assert config.cache_limit() == meant


def test_a_limit_that_is_none_names_the_file(tmp_path: Path) -> None:
    (tmp_path / config.FILE).write_text('cache = "much"')
    with pytest.raises(InputError, match=r"huashen\.toml: cache cannot be 'much'"):
        config.settings(tmp_path)


def test_a_picture_keeps_the_style_it_was_given_and_speaks_by_it(face: Image, tmp_path: Path) -> None:
    media.write_image(tmp_path / "me.png", face)
    style = Style(open=0.7, wide=1.2, rounded=0.9, parted=0.01)
    assert persons.make("me", tmp_path / "me.png", consent=SELF, style=style).style == style
    assert persons.find("me").style == style
    known = studio.as_known("me")
    assert studio.as_style(None, known) == style
    assert studio.as_style("me", "example") == style
    other = Style(open=1.3)
    assert studio.as_style(other, known) == other
    persons.make("you", tmp_path / "me.png", consent=SELF, style="me")
    assert persons.find("you").style == style
    assert persons.may_have_style("you")


def test_what_teaches_no_style_is_said(clip: Path, face: Image, tmp_path: Path) -> None:
    assert persons.make("anna", clip, consent=SELF).style is None  # nobody speaks in it
    with pytest.raises(InputError, match="too little speech"):
        persons.as_style("anna")
    with pytest.raises(InputError, match="too little speech"):
        persons.as_style(clip)
    media.write_image(tmp_path / "me.png", face)
    with pytest.raises(InputError, match="is no clip"):
        persons.as_style(tmp_path / "me.png")
    with pytest.raises(UnreadableError):
        persons.as_style("nobody.mp4")
    (tmp_path / "no.mp4").write_bytes(b"no clip")
    may = ("anna", str(clip), str(tmp_path / "me.png"), str(tmp_path / "no.mp4"), "nobody.mp4", "example")
    assert [persons.may_have_style(value) for value in may] == [False, True, False, False, False, False]


def test_a_manifest_from_before_styles_is_read(home: Path) -> None:
    persons.make("anna", "example")
    manifest = home / "avatars" / "anna" / "manifest.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    del values["style"]
    manifest.write_text(json.dumps(values), encoding="utf-8")
    assert persons.find("anna").style is None
