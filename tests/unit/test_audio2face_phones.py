"""Every sound finds the mouth it needs."""

from itertools import pairwise

import numpy as np
import pytest

from huashen.audio2face.phones import CHANNELS, aims, blend
from huashen.types import ARKIT_INDEX

AT = {name: i for i, name in enumerate(CHANNELS)}

# What eSpeak NG 1.52 reports for en-us, en-gb and cmn, raw and respelt, and flite's phones in IPA.
ENGLISH = tuple(
    """m n ŋ p b t d k ɡ ɾ ʔ f v θ ð s z ʃ ʒ x h tʃ dʒ ɹ l j w n̩ ɫ iː i ɪ ɪɹ iə ᵻ ɛ ɛɹ eə e æ a aː ɑː ɑːɹ ɒ ɔː ɔːɹ
    ʌ ʊ ʊɹ ʊə uː u ɜː ɝ ɚ ə ɐ eɪ aɪ aɪɚ aɪə ɔɪ aʊ aʊɚ oʊ əʊ əl ɑ̃ ɔ̃""".split()  # noqa: SIM905
)
MANDARIN = tuple(
    """p pʰ ph m f t tʰ th n l k kʰ kh x χ ŋ tɕ tɕʰ tɕh ɕ ts tsʰ tsh s tʂ tʂʰ ʂ ʐ ts. ts.h s. j w ɥ i y u a ɑ o ə ɤ o- ɛ ɨ i. i̪
    ʅ ɿ ɚ ər ai ei au ɑu ou iɑ ia iɛ iou iau ua uɑ uo uai uei uə yɛ yæ yə yi onɡ ʊŋ iŋ""".split()  # noqa: SIM905
)


def target(ipa: str, channel: str, part: int = 0) -> float:
    return float(aims(ipa)[part].pose[AT[channel]])


@pytest.mark.parametrize("ipa", ENGLISH + MANDARIN)
def test_every_phone_of_english_and_mandarin_is_known(ipa: str) -> None:
    unknown = aims("\u02ac")[0]  # a letter without a place
    found = aims(ipa)
    assert found
    for aim in found:
        assert not (np.array_equal(aim.pose, unknown.pose) and np.array_equal(aim.grip, unknown.grip))
        assert np.all((aim.pose >= 0) & (aim.pose <= 1))


@pytest.mark.parametrize("ipa", [*ENGLISH, *MANDARIN, "t͡ʃ", "ɬ", "ʘ", "q͡χʼ"])
def test_parts_of_a_phone_fill_it_in_order(ipa: str) -> None:
    shares = [aim.share for aim in aims(ipa)]
    assert shares[0][0] == 0
    assert shares[-1][1] == pytest.approx(1)
    for (_, end), (begin, _) in pairwise(shares):
        assert begin == pytest.approx(end)


@pytest.mark.parametrize("ipa", ["", "_", " ", "|", "(en)", "ˈ", "ː"])
def test_a_pause_aims_at_nothing(ipa: str) -> None:
    assert aims(ipa) == ()


@pytest.mark.parametrize("ipa", ["p", "b", "m", "pʰ", "pʲ", "bʷ", "m̩", "ɓ", "p͡f"])
def test_bilabials_seal_the_lips(ipa: str) -> None:
    assert aims(ipa)[0].seal == 1.0


@pytest.mark.parametrize("ipa", [p for p in ENGLISH + MANDARIN if p[0] not in "pbmfv"])
def test_nothing_else_seals_them(ipa: str) -> None:
    assert all(aim.seal == 0 for aim in aims(ipa))


def test_labiodentals_tuck_the_lower_lip_under_the_teeth() -> None:
    for ipa in "fv":
        assert target(ipa, "tuck") > 0.5
        assert target(ipa, "upper") > 0.25
        assert 0.5 <= aims(ipa)[0].seal < 1
        assert aims(ipa)[0].grip[AT["tuck"]] > aims("ɑ")[0].grip[AT["tuck"]]


def test_jaw_follows_the_height_of_vowels() -> None:
    for row in ("ieɛæ", "uoɔɒ", "yøœɶ", "ɯɤʌɑ"):
        jaws = [target(v, "jaw") for v in row]
        assert jaws == sorted(jaws)
        assert jaws[-1] - jaws[0] > 0.2


def test_close_rounded_vowels_purse_and_front_spread_vowels_widen() -> None:
    for v in "uyʉ":
        assert target(v, "pucker") > 0.7
        assert target(v, "stretch") == 0
    assert target("i", "stretch") > 0.35
    assert target("i", "pucker") == 0
    assert target("y", "jaw") < target("u", "jaw") < target("o", "jaw") < target("ɑ", "jaw")
    assert target("o", "pucker") < target("u", "pucker")


def test_postalveolars_and_retroflexes_push_the_lips_forward_and_sibilants_spread_them() -> None:
    assert target("ʃ", "funnel") > target("ʂ", "funnel") > 0.25
    assert target("s", "stretch") > 0.2
    assert target("ɕ", "stretch") > 0.2


def test_espeak_spellings_mean_the_ipa_letters() -> None:
    for odd, ipa in (("s.", "ʂ"), ("o-", "ɤ"), ("i.", "ʅ"), ("i̪", "ɿ"), ("g", "ɡ")):
        np.testing.assert_array_equal(aims(odd)[0].pose, aims(ipa)[0].pose)
    assert [aim.seal for aim in aims("ph")] == [1.0, 0.0]


def test_diphthongs_move_and_glides_are_shorter_than_their_vowels() -> None:
    assert target("aɪ", "jaw") > target("aɪ", "jaw", 1)
    assert target("oʊ", "pucker", 1) > target("oʊ", "pucker")
    lengths = [b - a for a, b in (aim.share for aim in aims("uei"))]
    assert lengths[0] < lengths[1]


def test_tongue_shows_for_th_and_a_little_for_l() -> None:
    assert target("θ", "tongue") > target("l", "tongue") > 0
    assert target("t", "tongue") == 0


def test_stress_tone_and_length_signs_do_not_change_the_aim() -> None:
    for plain, signed in (("ɑ", "ˈɑː"), ("i", "i˥˩"), ("t", "ˌt"), ("a", "a5")):
        np.testing.assert_array_equal(aims(plain)[0].pose, aims(signed)[0].pose)
        assert len(aims(signed)) == 1


def test_unknown_letters_insist_on_little() -> None:
    for ipa in ("ʬ", "ж"):
        (aim,) = aims(ipa)
        assert aim.grip.max() <= 0.2


def test_blend_lays_the_mouth_over_the_living_face() -> None:
    mouth = np.zeros(len(CHANNELS) + 1)
    mouth[AT["jaw"]], mouth[AT["stretch"]], mouth[-1] = 0.5, 0.4, 0.7
    own = np.zeros(52, np.float32)
    own[ARKIT_INDEX["eyeBlinkLeft"]] = 0.9
    weights, head = blend(mouth, 1.5, (own, np.full(6, 2, np.float32)), 0.1)
    assert weights[ARKIT_INDEX["jawOpen"]] == pytest.approx(0.75)
    assert weights[ARKIT_INDEX["mouthStretchLeft"]] == pytest.approx(0.44)
    assert weights[ARKIT_INDEX["mouthStretchRight"]] == pytest.approx(0.36)
    assert weights[ARKIT_INDEX["mouthClose"]] == pytest.approx(0.7)
    assert weights[ARKIT_INDEX["eyeBlinkLeft"]] == pytest.approx(0.9)
    assert head.tolist() == [2] * 6
    assert not own[ARKIT_INDEX["jawOpen"]]
