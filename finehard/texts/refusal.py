"""Refusals: a model that says it will not, or cannot, describe the image."""

from __future__ import annotations

import re

_IMAGE = r"(?:image|picture|photo|photograph|file)"
_TELL = (
    r"(?:assist|help|provide|identify|recogni[sz]e|describe|comply|fulfil|fulfill|generate|create"
    r"|analy[sz]e|determine|process|see|view|access|answer|discuss|share|respond|engage|continue"
    r"|give|produce|write|caption|offer|do that|do this|make|comment)"
)
_CANNOT = (
    r"(?:cannot|can ?not|can['’]?t|could ?n['’]?t|could not|won['’]?t|will not|do not|don['’]?t)"
)
_REFUSAL = re.compile(
    # English
    r"(?:i['’]?m|i am) (?:(?:very|so|really|deeply|truly) )?(?:sorry|afraid)"
    r"(?:,? (?:but|however|that i)\b|[,.!]? (?:i|we|as)\b|, (?:this|that|there|no|it)\b|[.!]?$)"
    r"|sorry(?:,? (?:but|i|we|as an?)\b|, (?:this|the|your) (?:content|request|image)\b|[.!]?$)"
    r"|(?:i|we) (?:sincerely )?apologi[sz]e\b|(?:my )?apologies\b|unfortunately,? (?:i|we)\b"
    r"|(?:i would|i['’]d) be (?:happy|glad) to\b"
    r"|thank(?:s| you) for (?:sharing|uploading|providing) (?:the|this|your)\b"
    r"|i need (?:to see|you to|the image)\b"
    rf"|please (?:provide|upload|share|attach|send) .{{0,20}}\b{_IMAGE}\b"
    r"|it (?:seems|appears|looks)(?: like| as if| that)?,? (?:no|there (?:is|was) no|you|the|your)"
    rf" (?:\w+ ){{0,3}}{_IMAGE}\b.{{0,30}}\b(?:provided|attached|uploaded|load(?:ed)?|shared)\b"
    rf"|the {_IMAGE} (?:could not|couldn['’]t|cannot|can['’]t|did not|didn['’]t|failed to)\b"
    r".{0,9}\b(?:load(?:ed)?|displayed|processed|opened|described)\b"
    rf"|(?:no|there is no) {_IMAGE}(?: (?:was|is|has been|appears to (?:be|have been)))?"
    r" (?:provided|attached|uploaded|given|shared)\b"
    r"|i (?:must|have to|need to|will have to) (?:respectfully )?(?:decline|refuse)\b"
    r"|i (?:won['’]?t|will not) be able\b|it(?: is|['’]s) (?:not possible|impossible) for me\b"
    r"|\[?content (?:not available|unavailable|blocked|removed|filtered|policy)\b"
    rf"|(?:i|we) {_CANNOT}(?: \w+ly)? {_TELL}\b"
    r"|(?:i(?:['’]m| am) |sorry, )?(?:not able|unable) to (?:\w+ly )?" + _TELL + r"\b"
    rf"|(?:cannot|can['’]?t) {_TELL}\b"
    r"|(?:i(?:['’]m| am) )(?:not (?:allowed|permitted|comfortable|designed)|just an? ai\b"
    r"|an? (?:ai|language model|text-based))"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)\b|as an? assistant,? i\b"
    r"|i (?:do not|don['’]?t) (?:have the ability|have access|see an? image|see any image)"
    r"|(?:it|this) (?:is against|violates|goes against) (?:my|our|the) "
    r"|(?:this|the|your) (?:request|content|image) (?:may )?(?:violates?\b"
    r"|cannot be (?:described|processed|displayed|provided|completed|fulfilled))"
    # Chinese, Japanese, Korean
    r"|(?:很|非常|十分)?(?:抱歉|对不起|對不起|遗憾)|我(?:无法|無法|不能|没有办法)|作为(?:一个|一名)?(?:AI|人工智能|语言模型)"
    r"|申し訳(?:ありません|ございません|ない)|すみませんが|죄송합니다|죄송하지만|미안하지만"
    # German, French, Spanish, Portuguese, Italian, Dutch, Russian
    r"|(?:es )?tut mir leid|leider kann ich|ich kann (?:dabei|ihnen|dir|diese\w*|bei|keine) .{0,60}"
    r"(?:nicht|helfen)|als ki\b"
    r"|(?:je suis )?désolée?\b,?|je regrette\b|je ne (?:peux|suis)|en tant qu['’]ia\b"
    r"|lo siento\b|no puedo (?:ayudar|identificar|describir)|como (?:una? )?(?:ia|inteligencia)\b"
    r"|(?:me )?desculpe\b,|sinto muito\b|não posso|lamento\b,"
    r"|mi dispiace\b|non posso (?:aiutar|identificar|descriver)"
    r"|het spijt me\b|sorry, (?:maar )?ik\b"
    r"|извините,|простите,|к сожалению, я|я не могу",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether `text` begins as a refusal does. Words on a card or sign, in quotes, are none."""
    return _REFUSAL.match(text) is not None
