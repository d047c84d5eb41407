"""Text before it is spoken: its language, its sentences, its runs of one language, and what of it can be said at all.

Everything here is a pure function of its arguments, shared by all voices. `Spoken` remembers for each character it holds which
stretch of the original it stands for, so that a word mark always points into the text as the user wrote it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

LIMIT = 200
"""A sentence wider than this is cut at a comma or a space (a Chinese character counts two): about 20 s of speech."""

_SCRIPTS = {
    "CJK": "zh", "IDEOGRAPHIC": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "KATAKANA-HIRAGANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru",
    "GREEK": "el", "ARABIC": "ar", "HEBREW": "he", "THAI": "th", "DEVANAGARI": "hi", "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te",
    "GUJARATI": "gu", "GURMUKHI": "pa", "KANNADA": "kn", "MALAYALAM": "ml", "ARMENIAN": "hy", "GEORGIAN": "ka", "ETHIOPIC": "am",
    "SINHALA": "si", "MYANMAR": "my", "ORIYA": "or", "LATIN": "latin",
}  # fmt: skip
"""First word of a letter's Unicode name: the language it is written in when nothing else is known."""

_LETTERS = {
    "latin": {
        "de": "äöüß", "fr": "àâçéèêëîïôœùû", "es": "ñ¿¡áéíóú", "pt": "ãõçáâêéíóú", "it": "àèéìòù", "pl": "ąćęłńóśźż", "ro": "ăâîșț",
        "cs": "ěščřžýáíéůúďťň", "tr": "ğışçöü", "sv": "åäö", "da": "æøå", "nb": "æøå", "fi": "äö", "hu": "őűáéíóöúü", "nl": "ĳ",
        "vi": "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
    },
    "ru": {"uk": "іїєґ", "be": "ўі", "sr": "ђјљњћџ", "kk": "әғқңөұүһ"},
    "ar": {"fa": "پچژگ", "ur": "ٹڈڑے"},
}  # fmt: skip
_WORDS = {
    "en": "the and is of to in that it you for with this are was have not be on as at by an we he she i my your do what how hello can will",
    "de": "der die das und ist nicht ein eine ich sie wir mit auf für von zu den dem wie was auch hallo es",
    "fr": "le la les et est un une des je vous nous que qui dans pour pas avec sur au ce bonjour il elle c'est",
    "es": "el la los las y es un una que de en por para con no se hola yo del como más este está",
    "it": "il lo la gli e è un una che di non per con sono ciao del della come questo più mi",
    "pt": "o a os as e é um uma que de não para com em por olá eu do da como mais isso você",
    "nl": "de het een en is niet van ik je met op voor dat zijn hallo wij te aan ook hoe",
    "pl": "i w nie na się jest to że z do jak co cześć ja tak po dla",
    "tr": "ve bir bu da de için ile ne değil merhaba ben çok var mi",
    "sv": "och är det att en ett som på jag inte med för hej av du vi",
    "da": "og er det at en et som på jeg ikke med for hej af du vi",
    "fi": "ja on ei se että hän minä hei mutta kun ovat tämä",
    "id": "dan yang di ini itu dengan untuk tidak saya anda adalah dari ke halo",
    "vi": "và là của không tôi bạn có một xin chào này cho",
    "cs": "a je se na to že v do jak co ahoj já není jsem",
    "ro": "și este un o de la nu cu în pe că salut eu sunt",
    "hu": "és a az egy nem hogy van ez szia én is vagy",
}
_STOPWORDS = {lang: frozenset(words.split()) for lang, words in _WORDS.items()}


@lru_cache(maxsize=65536)
def script(character: str) -> str:
    """Return the language that a letter's script stands for ("latin" for Latin letters); "" for anything but a letter."""
    if not character.isalpha() and not unicodedata.category(character).startswith("M"):
        return ""
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[:1], "")
    return _SCRIPTS.get(name.split(" ")[0], "")


def guess(text: str) -> str:
    """Guess the language of a text: by its script first, then by letters and short words that only some languages have.

    Args:
        text: any text; mixed Chinese and English counts as Chinese as soon as a third of its words are Chinese.

    Returns:
        An ISO 639-1 code such as "zh", "en", "ja", "de"; "en" when nothing tells.
    """
    counts: dict[str, float] = {}
    for character in text:
        found = script(character)
        if found:  # a Latin letter is about a fifth of a word, a letter of any other script weighs more
            counts[found] = counts.get(found, 0) + (0.2 if found == "latin" else 1)
    if not counts:
        return "en"
    if counts.get("ja", 0) > 0 and counts.get("ja", 0) + counts.get("zh", 0) >= counts.get("latin", 0):
        return "ja" if counts["ja"] * 10 >= counts.get("zh", 0) else "zh"
    if counts.get("zh", 0) * 2 >= counts.get("latin", 0) and counts.get("zh", 0) > 0:
        counts.pop("latin", None)
    best = max(counts, key=lambda lang: counts[lang])
    if best != "latin":
        return _by_letters(text, best) or best
    return _latin(text)


def _by_letters(text: str, written: str) -> str:
    """Return the language whose own letters occur most in a text of that script, "" when none do."""
    lower = text.lower()
    scores = {lang: sum(lower.count(letter) for letter in letters) for lang, letters in _LETTERS.get(written, {}).items()}
    best = max(scores, key=lambda lang: scores[lang], default="")
    return best if best and scores[best] else ""


def _latin(text: str) -> str:
    """Return the language of Latin letters: English unless another wins clearly by its letters and short words."""
    lower = unicodedata.normalize("NFC", text.lower())
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", lower)
    special = [c for c in lower if c > "\x7f" and (c in "¿¡" or script(c) == "latin")]
    scores = {}
    for lang, stop in _STOPWORDS.items():
        own = _LETTERS["latin"].get(lang, "")
        letters = sum(1.5 if c in own else -0.5 if lang == "en" else -3 for c in special)
        scores[lang] = letters + sum(2 if len(word) > 1 else 0.5 for word in words if word in stop)
    best = max(scores, key=lambda lang: scores[lang])
    return best if scores[best] >= scores["en"] + 1 else "en"


# --- sentences ---------------------------------------------------------------------------------------------------------------------

_WIDE_ENDS = "。！？｡．…‥।॥؟۔։።"
_ENDS = ".!?" + _WIDE_ENDS
_CLOSERS = "”’»›」』）)]】》〉〕｝}"
_BOTH_WAYS = "\"'*_`~"
"""Signs that open after a space and close after anything else."""
_ABBREVIATIONS = {
    "never": "mr mrs ms dr prof st gen col lt sgt capt rev hon mt vs fig vol pp e.g i.e cf approx u.s u.k mme mlle sra srta z.b bzw ca nr",
    "seldom": "etc inc ltd co corp jr sr a.m p.m al usw dept est ave blvd jan feb mar apr jun jul aug sep sept oct nov dec",
}
_NEVER, _SELDOM = (frozenset(_ABBREVIATIONS[kind].split()) for kind in ("never", "seldom"))
"""Abbreviations after which no sentence ends, and those after which one ends only before a capital letter."""


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _absorb(buffer: str, at: int) -> int:
    """Return where the next sentence may begin: past closing signs, spaces and pictures."""
    while at < len(buffer):
        character = buffer[at]
        closing = character in _CLOSERS or character in _ENDS or (character in _BOTH_WAYS and not buffer[at - 1].isspace())
        if not closing and not character.isspace() and unicodedata.category(character) not in ("So", "Sk", "Cf", "Mn", "Cn"):
            break
        at += 1
    return at


def _ends_here(buffer: str, at: int, after: int, start_of_line: int) -> bool:
    """Return whether the sign at `at` ends a sentence; `after` is the first character that is neither space nor closing sign."""
    sign, follower = buffer[at], buffer[after]
    between = buffer[at + 1 : after]
    if sign in _WIDE_ENDS:
        return not (sign in "…‥" and follower.islower() and script(follower) == "latin")
    touching = not any(c.isspace() for c in between) and not any(c in _CLOSERS or c in _BOTH_WAYS for c in between)
    if touching:  # 3.14, example.com, "Hi!Ho" stay whole; 你好.我 does not
        return script(follower) in ("zh", "ja", "ko") and not (sign == "." and buffer[at - 1 : at].isdigit())
    if sign != ".":
        return not (follower.islower() and any(c in _CLOSERS or c in _BOTH_WAYS for c in between))
    if follower.islower() and script(follower) == "latin":
        return False
    before = re.search(r"[^\s(\[“\"']*$", buffer[:at])
    word = before.group().lower() if before else ""
    if word in _NEVER or (word == "no" and follower.isdigit()):
        return False
    if word in _SELDOM:
        return follower.isupper() or not follower.isalnum() or script(follower) != "latin"
    if re.fullmatch(r"(?:[^\W\d_]\.)*[^\W\d_]", word) and word.isascii():  # an initial: J. R. R. Tolkien
        return False
    return not (word.isdigit() and not buffer[start_of_line : at - len(word)].strip())  # "1. First" is a list


def _end(buffer: str, final: bool, limit: int) -> int:
    """Return where the first sentence of the buffer ends; 0 while that is not yet known.

    Only what has come is looked at, and an answer never depends on how much more has come: so chunks do not matter.
    """
    first = next((i for i, c in enumerate(buffer) if c.isalnum()), len(buffer))
    width = 0
    line = 0
    for at, character in enumerate(buffer):
        width += _width(character)
        said = at >= first
        if said and (character in _ENDS or character == "\n"):
            after = _absorb(buffer, at + 1)
            sound = next((i for i in range(after, len(buffer)) if buffer[i].isalnum()), -1)
            if sound < 0:
                return len(buffer) if final else 0
            if character == "\n":
                wide = sum(_width(c) for c in buffer[line:at])
                wrapped = wide >= 60 or (buffer[after].islower() and script(buffer[after]) == "latin")
                if "\n" in buffer[at + 1 : after].replace(" ", "") or not wrapped:
                    return after
                line = at + 1
            elif _ends_here(buffer, at, after, line):
                return after
        elif character == "\n":
            line = at + 1
        if width > limit and said:
            cut = _absorb(buffer, max(_soft(buffer, at), first + 1))
            if any(c.isalnum() for c in buffer[cut:]):
                return cut
            return len(buffer) if final else 0
    return len(buffer) if final else 0


def _soft(buffer: str, at: int) -> int:
    """Return the best place to cut buffer[:at], which is too long: after a semicolon, else a comma, else a space, else anywhere."""
    least = at // 3
    for signs in ("；;：:—", "，,、،", " \t\n\u3000"):
        for i in range(at - 1, least, -1):
            number = buffer[i] in ",:" and buffer[i + 1].isdigit()
            if buffer[i] in signs and not number:
                return i + 1
    while at > least and unicodedata.category(buffer[at]) in ("Mn", "Mc", "Cf"):
        at -= 1
    return at


def sentences(pieces: str | Iterable[str], *, limit: int = LIMIT) -> Iterator[str]:
    """Cut a text into sentences, each as soon as it is certain.

    The pieces joined are the text, every piece holds a letter or a digit if the text does, and how the text comes in chunks does
    not change them.

    Args:
        pieces: the text, whole or as it comes.
        limit: longest sentence, a Chinese character counting two.
    """
    buffer = ""
    # a book as one piece would be copied for each of its sentences
    parts = [pieces[i : i + 4096] for i in range(0, len(pieces), 4096)] if isinstance(pieces, str) else pieces
    for piece in parts:
        buffer += piece
        while end := _end(buffer, False, limit):
            yield buffer[:end]
            buffer = buffer[end:]
    while buffer:
        end = _end(buffer, True, limit)
        yield buffer[:end]
        buffer = buffer[end:]


# --- what is said of it ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoken:
    """A text as it is spoken and where it came from."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """For each character of `text` the stretch [first, past) of the original that it stands for."""

    @staticmethod
    def of(text: str) -> "Spoken":
        """Return a text that is spoken as it is written."""
        return Spoken(text, tuple((i, i + 1) for i in range(len(text))))

    def __getitem__(self, part: slice) -> "Spoken":
        return Spoken(self.text[part], self.spans[part])

    def replace(self, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str | None]) -> "Spoken":
        """Replace what matches; None leaves a match as it is. The new characters all stand for the whole match."""
        text: list[str] = []
        spans: list[tuple[int, int]] = []
        done = 0
        for match in pattern.finditer(self.text):
            said = new(match)
            if said is None or match.end() == match.start():
                continue
            text.append(self.text[done : match.start()] + said)
            spans.extend(self.spans[done : match.start()])
            whole = (self.spans[match.start()][0], self.spans[match.end() - 1][1])
            spans.extend([whole] * len(said))
            done = match.end()
        return Spoken("".join(text) + self.text[done:], (*spans, *self.spans[done:]))

    def cut(self, pattern: re.Pattern[str], group: str | int = 0) -> "Spoken":
        """Keep only a group of each match, its characters keeping their own places; without a group remove the match."""
        kept: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            kept.extend(range(done, match.start()))
            if group:
                kept.extend(range(match.start(group), match.end(group)))
            done = match.end()
        kept.extend(range(done, len(self.text)))
        return Spoken("".join(self.text[i] for i in kept), tuple(self.spans[i] for i in kept))


_FENCE = re.compile(r"```[\w+-]*[ \t]*|~~~[\w+-]*[ \t]*")
_LINK = re.compile(r"!?\[(?P<text>[^\]\n]*)\]\([^)\n]*\)")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]*>|<!--.*?-->")
_LEAD = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•·][ \t]+|\|)+")
_RULE = re.compile(r"(?m)^[ \t]*(?:[-*_=]{3,}|\|?[ \t]*:?-{2,}[-|: \t]*)[ \t]*$")
_STARS = re.compile(r"\*{1,3}(?P<text>[^*\s](?:[^*\n]*[^*\s])?)\*{1,3}")
_LINES = re.compile(r"(?<!\w)_{1,3}(?P<text>[^_\s](?:[^_\n]*[^_\s])?)_{1,3}(?!\w)")
_URL = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"'，。！？；、）】》”’\u4e00-\u9fff]+", re.IGNORECASE)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_PICTURES = re.compile(
    "[\U0001f000-\U0001faff\U0001fb00-\U0001fbff\u2300-\u23ff\u2500-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe00-\ufe0f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u20e3\ufeff\U000e0000-\U000e007f\ue000-\uf8ff\ufffc\ufffd\x00-\x08\x0b-\x1f\x7f]"
)
_FOLDED = re.compile(r"[^\W\x00-\x7f]|℃|[\u3371-\u33df]")
_SIGNS = re.compile(r"[`*_~|\\^<>{}\[\]#]+")


def _fold(match: re.Match[str]) -> str | None:
    """Return the plain form of full-width and enclosed letters and digits (Ａ, ①, ㎏, ½)."""
    if match.group() in "²³㎡㎥㎢":  # an exponent is no digit
        return {"㎡": "m²", "㎥": "m³", "㎢": "km²"}.get(match.group())
    folded = unicodedata.normalize("NFKC", match.group())
    return None if folded == match.group() else folded.replace("⁄", "/")


def _address(match: re.Match[str]) -> str:
    """Return a web address the way people say it: the host alone, its dots named."""
    address = match.group()
    tail = re.search(r"[.,;:!?)\]*_]+$", address)
    host = re.sub(r"^(?:\w+://)?(?:www\.)?", "", address.rstrip(".,;:!?)]*_"), flags=re.IGNORECASE)
    host = re.split(r"[/?#:]", host)[0]
    return " " + host.replace(".", " dot ").replace("-", " ") + (tail.group() if tail else "") + " "


def clean(text: str) -> Spoken:
    """Return what of a text can be said: no emoji, no markdown signs; links by their text, addresses by their host.

    Spaces and line ends become one space; `sentences` has cut at those line ends that matter.
    """
    spoken = Spoken.of(text)
    spoken = spoken.cut(_FENCE).cut(_LINK, "text").cut(_TAG)
    spoken = spoken.replace(_RULE, lambda m: " ").cut(_LEAD).cut(_STARS, "text").cut(_LINES, "text")
    spoken = spoken.replace(_URL, _address)
    spoken = spoken.replace(_MAIL, lambda m: m.group().replace("@", " at ").replace(".", " dot ").replace("_", " ").replace("-", " "))
    spoken = spoken.replace(_PICTURES, lambda m: "" if m.group() in "\ufe0f\u200d\u20e3" else " ")
    spoken = spoken.replace(_FOLDED, _fold)
    spoken = spoken.replace(re.compile(r"(?<=[\d%])\s?~\s?(?=[\d¥￥$€£])"), lambda m: "–").replace(_SIGNS, lambda m: " ")
    return spoken.replace(re.compile(r"\s+"), lambda m: None if m.group() == " " else " ")


def sayable(text: str) -> bool:
    """Return whether there is anything in a text to say: a letter or a digit that is left when it is cleaned."""
    return any(character.isalnum() for character in clean(text).text)


@dataclass(frozen=True)
class Run:
    """A stretch of one language."""

    lang: str
    start: int
    end: int



def runs(text: str, lang: str = "") -> list[Run]:
    """Cut a sentence into runs of one language; digits, signs and spaces go with a neighbour.

    Args:
        text: a sentence, cleaned.
        lang: BCP 47 tag of the text's main language; guessed when empty. Letters it is not written in get the language of
            their own script (Latin letters inside Chinese: English, unless they look like another).

    Returns:
        Runs that follow each other without gaps and cover the text; one run when there is no letter in it.
    """
    main = lang or guess(text)
    primary = main.split("-")[0].lower()
    latin = _latin("".join(c if script(c) == "latin" or not c.isalnum() else " " for c in text))
    mostly = _main_script(primary)
    # a unit is said in the language of its number
    units = {i for match in re.finditer(_BEHIND, text) for i in range(*match.span(1))} if mostly == "zh" else set()
    found: list[Run] = []
    for i, character in enumerate(text):
        kind = script(character) if character.isalpha() else ""
        if not kind or i in units or text[i - 1 : i] == "°":
            continue
        own = main if kind == mostly or (kind == "zh" and primary == "ja") else latin if kind == "latin" else kind
        if found and found[-1].lang == own:
            found[-1] = Run(own, found[-1].start, i + 1)
        else:
            found.append(Run(own, i, i + 1))
    if not found:
        return [Run(main, 0, len(text))]
    borders = [0] + [_border(text, a.end, b.start) for a, b in pairwise(found)] + [len(text)]
    return [Run(run.lang, borders[i], borders[i + 1]) for i, run in enumerate(found)]


def _main_script(primary: str) -> str:
    if primary in ("zh", "cmn", "yue", "hak", "nan"):
        return "zh"
    for written, languages in _LETTERS.items():
        if primary in languages and written != "latin":
            return written
    shared = {"bg": "ru", "mk": "ru", "tt": "ru", "ky": "ru", "mr": "hi", "ne": "hi", "as": "bn"}
    return primary if primary in _SCRIPTS.values() else shared.get(primary, "latin")


def _border(text: str, end: int, start: int) -> int:
    """Return where what lies between two runs is parted: it goes with the run it touches, with the first if with both or neither."""
    between = text[end:start]
    if not any(c.isdigit() for c in between):
        opening = re.search(r"[\s]*[(\[“‘「『（【《¿¡]+$", between)
        return end + opening.start() if opening else start
    if not between[0].isspace() and between[0].isdigit():
        space = re.search(r"\s", between)
        return end + space.end() if space else start
    number = re.search(r"[^\s]*\d[^\s]*$", between)
    return end + number.start() if number else start


# --- numbers -----------------------------------------------------------------------------------------------------------------------

_DIGITS = "零一二三四五六七八九"


def hanzi(number: str) -> str:
    """Return a number as it is read in Chinese.

    Args:
        number: digits with an optional sign, decimal point and thousands' commas; over 16 digits it is read digit by digit.
    """
    plain = number.replace(",", "")
    if plain.startswith(("-", "−")):
        return "负" + hanzi(plain[1:])
    whole, _, part = plain.partition(".")
    if part:
        return hanzi(whole or "0") + "点" + digits(part)
    if len(whole) > 16 or (len(whole) > 1 and whole[0] == "0"):
        return digits(whole)
    value = int(whole)
    if value == 0:
        return "零"
    said = ""
    gap = False
    for power, unit in ((12, "万亿"), (8, "亿"), (4, "万"), (0, "")):
        group = value // 10**power % 10**4
        if not group:
            gap = gap or bool(said)
            continue
        if said and (gap or group < 1000):
            said += "零"
        gap = False
        said += _thousands(group) + (unit if power < 12 or value // 10**8 % 10**4 == 0 else "万")
    return said.removeprefix("一") if said.startswith("一十") else said


def _thousands(group: int) -> str:
    said = ""
    zero = False
    for power, unit in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = group // power % 10
        if digit:
            said += ("零" if zero else "") + _DIGITS[digit] + unit
            zero = False
        elif said:
            zero = True
    return said


def digits(number: str) -> str:
    """Return digits read one by one in Chinese."""
    return "".join(_DIGITS[int(c)] for c in number if c.isdigit())


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_RANGE = r"\s?[-–—~～至到]\s?"
_COUNTERS = "个位倍次天条只本张件种块点名头间座辆台部匹份封棵朵双对层年周岁小斤米杯瓶碗家"
_MONEY_ZH = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_MONEY_EN = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"), "¥": ("yuan", ""), "￥": ("yuan", "")}
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
_DATE = re.compile(r"(?<!\d)(\d{4})[-/.](0?[1-9]|1[0-2])[-/.](0?[1-9]|[12]\d|3[01])(?!\d)")
_UNITS = {
    "km/h": ("公里每小时", "kilometers per hour"), "m/s": ("米每秒", "meters per second"), "km²": ("平方公里", "square kilometers"),
    "cm²": ("平方厘米", "square centimeters"), "m²": ("平方米", "square meters"), "m³": ("立方米", "cubic meters"),
    "km": ("公里", "kilometers"), "cm": ("厘米", "centimeters"), "mm": ("毫米", "millimeters"), "m": ("米", "meters"),
    "kg": ("公斤", "kilograms"), "mg": ("毫克", "milligrams"), "g": ("克", "grams"), "ml": ("毫升", "milliliters"),
    "mL": ("毫升", "milliliters"), "L": ("升", "liters"), "KB": ("千字节", "kilobytes"), "MB": ("兆", "megabytes"),
    "GB": ("吉", "gigabytes"), "TB": ("太", "terabytes"),
    "Hz": ("赫兹", "hertz"), "kHz": ("千赫", "kilohertz"), "MHz": ("兆赫", "megahertz"), "GHz": ("吉赫", "gigahertz"),
    "kW": ("千瓦", "kilowatts"), "W": ("瓦", "watts"), "ms": ("毫秒", "milliseconds"), "mph": ("英里每小时", "miles per hour"),
    "°C": ("摄氏度", "degrees Celsius"), "°F": ("华氏度", "degrees Fahrenheit"), "°": ("度", "degrees"),
}  # fmt: skip
"""How a unit behind a number is said in Chinese and in English."""
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_BEHIND = rf"(?<=\d)\s?({_UNIT})(?![A-Za-z0-9/²³])"
_NAMED = "拨打|打|拨|致电|热线|电话|手机|尾号|编号|卡号|号码|密码|验证码|工号|邮编|账号|房号|学号"
"""What stands before digits that are read one by one."""

_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]
_ZH: tuple[_Rule, ...] = (
    (_DATE, lambda m: f"{digits(m[1])}年{hanzi(str(int(m[2])))}月{hanzi(str(int(m[3])))}日"),
    (re.compile(rf"(?<!\d)(\d{{4}}){_RANGE}(?=\d{{4}}年)"), lambda m: digits(m[1]) + "到"),
    (re.compile(r"(?<!\d)(\d{4}|\d{2})(?=年(?!前|后|以|来|间|多|代))|(?<!\d)\d{4}(?=年代)"), lambda m: digits(m[0])),
    (re.compile(r"(?<!\d)[05-9]0(?=后(?![面来天边]))"), lambda m: digits(m[0])),
    (re.compile(rf"(?<=[:：]\d\d){_RANGE}(?=\d{{1,2}}[:：]\d\d)"), lambda m: "到"),
    (
        re.compile(r"(?<![\d:：])([01]?\d|2[0-4])[:：]([0-5]\d)(?:[:：]([0-5]\d))?(?![\d:：])"),
        lambda m: _hour(m[1]) + _minutes(m[2], m[3]),
    ),
    (re.compile(r"(?<![\d:：])(\d{1,3})[:：](\d{1,3})(?![\d:：])"), lambda m: f"{hanzi(m[1])}比{hanzi(m[2])}"),
    (
        re.compile(r"(?<!\d)((?:\+86[\s-]?)?1[3-9]\d[\s-]?\d{4}[\s-]?\d{4}|0\d{2,3}-?\d{3,4}-?\d{4}|400-?\d{3}-?\d{4})(?!\d)"),
        lambda m: _phone(m[1]),
    ),
    (re.compile(rf"({_NAMED})([：:是为]?\s?)(\d{{3,}})(?![\d.,万亿元块个%])"), lambda m: m[1] + m[2] + _phone(m[3])),
    (re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.])"), lambda m: "点".join(digits(part) for part in m[0].split("."))),
    (
        re.compile(rf"([¥￥$€£])\s?({_NUMBER}){_RANGE}[¥￥$€£]?({_NUMBER})(\s?[万亿]?)"),
        lambda m: f"{hanzi(m[2])}到{hanzi(m[3])}{m[4].strip()}{_MONEY_ZH[m[1]]}",
    ),
    (re.compile(rf"([¥￥$€£])\s?({_NUMBER})(\s?[万亿]?)"), lambda m: hanzi(m[2]) + m[3].strip() + _MONEY_ZH[m[1]]),
    (re.compile(r"(?<=[元块角分])\s?/\s?(?=[\u4e00-\u9fff])"), lambda m: "每"),
    (re.compile(rf"({_NUMBER})\s?[%％]?{_RANGE}(?=(?:{_NUMBER})\s?[%％])"), lambda m: f"百分之{hanzi(m[1])}到"),
    (re.compile(rf"([-−]?(?:{_NUMBER}))\s?[%％]"), lambda m: "百分之" + hanzi(m[1])),
    (re.compile(rf"([-−]?(?:{_NUMBER}))\s?°C"), lambda m: _below(m[1]) + "摄氏度"),
    (re.compile(_BEHIND), lambda m: _UNITS[m[1]][0]),
    (re.compile(r"(?<=[A-Za-zα-ω])²"), lambda m: "的平方"), (re.compile(r"(?<=[A-Za-zα-ω])³"), lambda m: "的立方"),
    (re.compile(r"(?<![\d/.])(\d{1,3})/(\d{1,3})(?![\d/.])"), lambda m: f"{hanzi(m[2])}分之{hanzi(m[1])}"),
    (re.compile(r"\b[Nn][Oo]\.?\s?(\d+)"), lambda m: f"第{hanzi(m[1])}"),
    (re.compile(rf"({_NUMBER}){_RANGE}(?=\d)"), lambda m: hanzi(m[1]) + "到"),
    (re.compile(rf"(?<![第\d.十百千万])2(?=[{_COUNTERS}])"), lambda m: "两"),
    (re.compile(rf"(?<=[\s(（，,。：:])[-−](?:{_NUMBER})|(?<![\w)）])[-−](?:{_NUMBER})"), lambda m: hanzi(m[0])),
    (re.compile(_NUMBER), lambda m: hanzi(m[0])),
    (re.compile("〇"), lambda m: "零"),
    (re.compile(r"[&＆]"), lambda m: "和"), (re.compile(r"[+＋]"), lambda m: "加"), (re.compile(r"[=＝]"), lambda m: "等于"),
    (re.compile(r"[×✕]"), lambda m: "乘"), (re.compile("÷"), lambda m: "除以"), (re.compile("≈"), lambda m: "约等于"),
    (re.compile("≥"), lambda m: "大于等于"), (re.compile("≤"), lambda m: "小于等于"), (re.compile("±"), lambda m: "正负"),
)  # fmt: skip
_DECADES = {
    "1": "tens", "2": "twenties", "3": "thirties", "4": "forties", "5": "fifties", "6": "sixties", "7": "seventies", "8": "eighties",
    "9": "nineties",
}  # fmt: skip
_EN: tuple[_Rule, ...] = (
    (_DATE, lambda m: f"{_MONTHS[int(m[2]) - 1]} {int(m[3])}, {m[1]}"),
    (
        re.compile(r"(?<![\d/])(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])/(\d{4})(?![\d/])"),
        lambda m: f"{_MONTHS[int(m[1]) - 1]} {int(m[2])}, {m[3]}",
    ),
    (re.compile(r"(?<![\w.])(\+?1[\s.-])?\(?(\d{3})\)?[\s.-](\d{3})[\s.-](\d{4})(?!\d)"), lambda m: _spelled(*m.groups())),
    (re.compile(r"(?<![\w.-])(\d{3})-(\d{4})(?![\d-])"), lambda m: _spelled(*m.groups())),
    (re.compile(r"(?i)(?<=\bcall )(\d{3})\b|(?<=\bdial )(\d{3})\b"), lambda m: _spelled(m[0])),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?![\w.])"), lambda m: " point ".join(" ".join(part) for part in m[0].split("."))),
    (
        re.compile(rf"([$€£¥￥])\s?({_NUMBER})\s?[-–—]\s?[$€£¥￥]?({_NUMBER})(\s(?:million|billion|trillion))?"),
        lambda m: f"{m[2]} to {_money(m[1], m[3], m[4] or '')}",
    ),
    (re.compile(rf"([$€£¥￥])\s?({_NUMBER})(\s(?:million|billion|trillion))?"), lambda m: _money(m[1], m[2], m[3] or "")),
    (re.compile(r"(?<=\d)\s?[-–—]\s?(?=\d)|(?<=\d[%°])\s?[-–—]\s?(?=\d)"), lambda m: " to "),
    (re.compile(r"\b(\d\d)([1-9])0s\b"), lambda m: f"{m[1]} {_DECADES[m[2]]}"), (re.compile(r"\b([1-9])0s\b"), lambda m: _DECADES[m[1]]),
    (re.compile(r"(?<![\w/.])24/7(?![\w/])"), lambda m: "24 7"), (re.compile(r"(?<![\w/.])50/50(?![\w/])"), lambda m: "50 50"),
    (re.compile(r"(?<![\w/.])1/2(?![\w/])"), lambda m: "one half"),
    (re.compile(r"(?<![\w/.])(1|3)/4(?![\w/])"), lambda m: "one quarter" if m[1] == "1" else "three quarters"),
    (re.compile(rf"(?<![\d.,])1\s?({_UNIT})(?![A-Za-z0-9/²³])"), lambda m: "1 " + _one(_UNITS[m[1]][1])),
    (re.compile(_BEHIND), lambda m: " " + _UNITS[m[1]][1]),
    (re.compile(r"(?<=[A-Za-z])²"), lambda m: " squared"), (re.compile(r"(?<=[A-Za-z])³"), lambda m: " cubed"),
    (re.compile(r"(?<=\d)\s?[x×✕]\s?(?=\d)"), lambda m: " by " if "x" in m[0] else " times "),
    (re.compile(r"(?<=\w)\s?\+\s?(?=\w)"), lambda m: " plus "), (re.compile(r"(?<=\w)\s?=\s?(?=\w)"), lambda m: " equals "),
    (re.compile(r"\s?&\s?"), lambda m: " and "),
    (re.compile(r"\b[Ee]\.g\.,?"), lambda m: "for example,"), (re.compile(r"\b[Ii]\.e\.,?"), lambda m: "that is,"),
    (re.compile(r"\b(?:[Nn]o\.|№)\s?(?=\d)"), lambda m: "number "),
    (re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St|Gen|Col|Lt|Sgt|Capt|Rev|vs|approx|etc|Inc|Ltd|Corp|Jr|Sr)\.(?=\s*\S)"), lambda m: m[1]),
)  # fmt: skip


def _hour(hour: str) -> str:
    return ("两" if int(hour) == 2 else hanzi(str(int(hour)))) + "点"


def _phone(number: str) -> str:
    """Return a number as it is told over the telephone: digit by digit, one as yāo."""
    return digits(number).replace("一", "幺")


def _spelled(*groups: str | None) -> str:
    """Return groups of digits one by one, a breath between the groups."""
    return ", ".join(" ".join(c for c in group if c.isdigit()) for group in groups if group)


def _one(units: str) -> str:
    """Return the name of one unit."""
    first, *rest = units.split(" ")
    if first in ("square", "cubic"):
        return f"{first} {_one(' '.join(rest))}"
    return " ".join(["foot" if first == "feet" else first if first == "hertz" else first.removesuffix("s"), *rest])


def _minutes(minutes: str, seconds: str | None) -> str:
    said = "" if minutes == "00" and not seconds else ("零" if minutes[0] == "0" else "") + hanzi(str(int(minutes))) + "分"
    return said + (hanzi(str(int(seconds))) + "秒" if seconds else "")


def _below(number: str) -> str:
    return "零下" + hanzi(number[1:]) if number[0] in "-−" else hanzi(number)


def _money(sign: str, number: str, scale: str) -> str:
    big, small = _MONEY_EN[sign]
    whole, _, part = number.replace(",", "").partition(".")
    if part == "00" and not scale:
        part, number = "", whole
    plural = big if big == "yuan" or (whole == "1" and not part and not scale) else big + "s"
    if scale or len(part) != 2 or not small:
        return f"{number}{scale} {plural}"
    cents = int(part)
    coins = "pence" if small == "penny" and cents != 1 else small if cents == 1 else small + "s"
    if whole == "0":
        return f"{cents} {coins}"
    return f"{whole} {big if whole == '1' else plural} {cents} {coins}"


def expand(spoken: Spoken, lang: str) -> Spoken:
    """Write out numbers, dates, times and money the way a language says them; languages without rules are left to the engine.

    Args:
        spoken: a run, cleaned.
        lang: BCP 47 tag.
    """
    primary = lang.split("-")[0].lower()
    for pattern, new in _ZH if primary in ("zh", "cmn", "yue") else _EN if primary == "en" else ():
        spoken = spoken.replace(pattern, new)
    return spoken
