"""Forty names in six scripts, and the check that a figure's text has every word of a name and of its heading."""

import re
import unicodedata
from xml.etree import ElementTree

LATIN = (
    "plain name", "Łódź café naïve", "a\u0301 combining a\u030a", "Ünïcödé $x$ and \\$", "50 % of R&D <b>",
    "ﬁne ligature ﬀ", "soft\u00adhyphen and\u200bspace", "no\u00a0break",
)  # fmt: skip
GREEK_AND_CYRILLIC = ("μηδέν βάρος", "Ωμέγα ∂L/∂x", "обучение сети", "Ёлка щука", "ѐ ҂ Ѡ", "λ = 0.5")
HEBREW_AND_ARABIC = (
    "שלום עולם", "ניסוי 12 חדש", "تجربة جديدة", "شبكة ٣ طبقات", "abc שלום def", "نص ABC نص",
    "evil \u202egnp.exe", "\u202eturned\u202c back", "open \u2067isolate", "mark\u200f here",
)  # fmt: skip
EAST_ASIAN = (
    "猫 が 好き",
    "実験 その二",
    "学习率 0.1",
    "梯度 消失",
    "기울기 소실",
    "ｆｕｌｌ ｗｉｄｔｈ",
    "漢字カナかな混じり文",
    "𠮷野家 𩸽",
)
INDIAN_AND_THAI = ("प्रयोग एक", "परीक्षण नया", "ทดลอง ครั้งแรก", "தமிழ் பெயர்")
SYMBOLS = ("🐈 cat 🚀", "👩‍🔬 scientist", "flag 🇩🇪 here", "thumb 👍🏽 up")
NAMES = (*LATIN, *GREEK_AND_CYRILLIC, *HEBREW_AND_ARABIC, *EAST_ASIAN, *INDIAN_AND_THAI, *SYMBOLS)
# A name that was stored before control characters were refused, or that comes from a folder.
BROKEN = ("line\u2028separator here", "paragraph\u2029separator here", "new\nline here", "tab\there")


def lost_words(svg, *texts):
    """The words of these texts that an SVG figure's text does not have, each as a whole or by its code points."""
    elements = [each for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("}text")]
    drawn = " ".join(_visible("".join(each.itertext())) for each in elements)
    return [word for text in texts for word in _visible(text).split() if not re.search(_pattern(word), drawn)]


def _visible(text):
    """The text with spaces for line separators, and without the characters that have no shape of their own."""
    spaced = "".join(" " if unicodedata.category(each) in ("Zl", "Zp", "Cc", "Zs") else each for each in text)
    return "".join(each for each in spaced if unicodedata.category(each) != "Cf" and not "\ufe00" <= each <= "\ufe0f")


def _pattern(word):
    """A regular expression of a word whose characters may be named by their code points."""
    return r"\s?".join(rf"(?:{re.escape(each)}|U\+{ord(each):04X})" for each in word)
