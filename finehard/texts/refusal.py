"""Refusals: a model that says it will not, or cannot, describe the image."""

from __future__ import annotations

import re

_IMAGE = r"(?:image|picture|photo|photograph|file)"
_SORRY = (
    r"(?:(?:(?:i['’]?m |i am )?(?:(?:very|so|really|deeply|truly) )?(?:sorry|afraid)|apologies"
    r"|(?:i|we) (?:sincerely )?apologi[sz]e|my apologies|unfortunately|however)[,.!]?"
    r" (?:but |that |however,? )?)?"
)
_DESCRIBE = (
    r"(?:assist|identify|recogni[sz]e|describe|comply|fulfil|fulfill|generate|analy[sz]e|caption"
    r"|determine|provide|comment|discuss|engage)"
)
"""What only a model says that it does."""
_DO = (
    r"(?:help|create|process|see|view|access|answer|share|respond|continue|give|produce|write"
    r"|offer|do that|do this|make)"
)
"""What others say as well, on mugs and signs."""
_CANNOT = (
    r"(?:cannot|can ?not|can['’]?t|could ?n['’]?t|could not|won['’]?t|will not|do not|don['’]?t)"
)
_UNABLE = r"(?:not able|unable)"
_AM = r"(?:['’]m| am|['’]re| are)"
_FILLER = re.compile(
    r"(?:(?:hmm+|oh|well|hi|hello|ah|um|uh|oops|okay|ok|no)[,.!…]+ )?"
    r"(?:here(?:['’]s| is) what i can (?:say|tell you)[,:] )?",
    re.IGNORECASE,
)
_AI = r"(?:ai|artificial intelligence|(?:large )?(?:vision[- ])?language model)"
_CERTAIN = re.compile(
    # English
    rf"(?:{_SORRY}(?:i|we)(?:{_AM}| was)(?: \w+ly)? {_UNABLE} to\b"
    rf"|{_SORRY}(?:i|we) {_CANNOT}(?: \w+ly)? {_DESCRIBE}\b"
    rf"|{_SORRY}(?:the|this) (?:model|assistant|system) (?:{_CANNOT}|is {_UNABLE} to)"
    rf" (?:{_DESCRIBE}|answer|process|respond|help)\b"
    rf"|{_SORRY}as an assistant,? i (?:{_CANNOT}|am |must )"
    rf"|{_SORRY}as an? (?:\w+ ){{0,3}}{_AI}\b"
    rf"|(?:i(?:['’]m| am) )?sorry,? (?:but )?(?:this|the|your|that) (?:content|request|image)\b"
    rf"|(?:{_CANNOT}|{_UNABLE} to)(?: \w+ly)? {_DESCRIBE}\b"
    r"|i (?:would |['’]d )?(?:prefer|rather) not (?:to )?(?:say|answer|speak)\b"
    rf"|i (?:would |['’]d )?(?:prefer|rather) not (?:to )?{_DESCRIBE}\b"
    r"|i (?:do not|don['’]t) feel comfortable\b|i regret (?:that i|to inform)\b"
    r"|i (?:must|have to|need to|will have to) (?:respectfully )?(?:decline|refuse)\b"
    r"|i(?: will not|['’]ll not| won['’]?t) be able\b"
    rf"|i(?:['’]m| am) not going to {_DESCRIBE}\b"
    r"|i can only (?:describe|help|assist|provide|discuss|answer)\b"
    r"|i(?:['’]m| am) (?:not (?:allowed|permitted|comfortable|designed)|just an? ai\b"
    rf"|an? (?:{_AI}|text-based))"
    r"|i (?:do not|don['’]t) (?:have the ability|have access|see an? image|see any image)"
    r"|it(?: is| isn['’]t|['’]s|(?: would|['’]d) be| would)(?: not (?:be )?| in)?(?:not )?"
    r" ?(?:possible|impossible|appropriate|inappropriate|unethical)"
    r" (?:for me |to (?:describe|identify|caption|comment|discuss))"
    r"|(?:my|our|the) (?:\w+ )?(?:guidelines|polic(?:y|ies)|programming|instructions)"
    r" (?:prevents?|prohibits?|forbids?|do(?:es)? not allow|don['’]t allow)\b"
    r"|(?:it|this) (?:is against|violates|goes against) (?:my|our|the) "
    r"|(?:this|the|your) (?:request|content|image|prompt|query)"
    r" (?:(?:may )?(?:violates?\b)|(?:(?:was|is|has been) (?:rejected|blocked|flagged|refused))\b"
    r"|cannot be (?:described|processed|displayed|provided|completed|fulfilled)"
    r"|contains? (?:\w+ )?content (?:that )?i (?:can['’]?t|cannot|won['’]t)\b)"
    r"|\w+ing [^.]{0,60} is (?:not )?something (?:that )?i (?:can(?:['’]?t|not)?|won['’]t|am)\b"
    rf"|no (?:caption|description)(?: (?:is|was))? (?:available|possible|provided)(?:[.!,]|$)"
    rf"|(?:sorry, )?(?:the|this)(?: part of the| section of the)?"
    rf" (?:{_IMAGE}|region|cut-?out|crop|part|area)(?: of the {_IMAGE})?"
    r" is too \w+(?: (?:and|or) \w+)?(?: for me)? to"
    r" (?:describe|identify|determine|recogni[sz]e|analy[sz]e|caption|tell|discern)\b"
    r"(?: (?:it|any\w*|the|this|what|clearly|accurately|in detail)\b[^.]{0,40})?\.?$"
    rf"|it (?:seems|appears|looks)(?: like| as if| that)?,? (?:no|there (?:is|was) no|you|the|your)"
    rf" (?:\w+ ){{0,3}}{_IMAGE}\b.{{0,30}}\b(?:provided|attached|uploaded|load(?:ed)?|shared)\b"
    rf"|the {_IMAGE} (?:could not|couldn['’]t|cannot|can['’]t|did not|didn['’]t|failed to)\b"
    r".{0,9}\b(?:load(?:ed)?|displayed|processed|opened|described)\b"
    rf"|(?:no|there is no) {_IMAGE}(?: (?:was|is|has been|appears to (?:be|have been)))?"
    r" (?:provided|attached|uploaded|given|shared)\b"
    r"|let['’]s (?:talk about|discuss|change the) (?:something|anything|subject|topic)\b"
    r"|i need (?:you to (?:provide|upload|share)|to see the image|the image)\b"
    # Chinese, Japanese, Korean
    r"|(?:很|非常|十分)?(?:抱歉|对不起|對不起|遗憾)|我(?:无法|無法|不能|没有办法)|作为(?:一个|一名)?(?:AI|人工智能|语言模型)"
    r"|申し訳(?:ありません|ございません|ない)|すみませんが|죄송합니다|죄송하지만|미안하지만"
    # German, French, Spanish, Portuguese, Italian, Dutch, Russian
    r"|(?:es )?tut mir leid|leider kann ich|ich kann (?:dabei|ihnen|dir|diese\w*|bei|keine) .{0,60}"
    r"(?:nicht|helfen)|als ki\b"
    r"|(?:je suis )?désolée?\b,?|je regrette\b|(?:malheureusement,? )?je ne (?:peux|suis)"
    r"|en tant qu['’]ia\b"
    r"|lo siento\b|(?:lamentablemente|desafortunadamente|por desgracia),? no (?:puedo|es posible)"
    r"|no puedo (?:ayudar|identificar|describir)|como (?:una? )?(?:ia|inteligencia)\b"
    r"|(?:me )?desculpe\b,|sinto muito\b|(?:infelizmente,? )?não posso|lamento\b,"
    r"|mi dispiace\b|(?:purtroppo,? )?non posso (?:aiutar|identificar|descriver)"
    r"|het spijt me\b|sorry, (?:maar )?ik\b|helaas kan ik\b"
    r"|извините,|простите,|к сожалению, я|я не могу)",
    re.IGNORECASE,
)
_POSSIBLE = re.compile(
    rf"{_SORRY}(?:i|we) {_CANNOT}(?: \w+ly)? {_DO}\b"
    rf"|(?:{_CANNOT}|{_UNABLE} to)(?: \w+ly)? {_DO}\b"
    r"|(?:i['’]?m|i am) (?:(?:very|so|really|deeply|truly) )?(?:sorry|afraid)\b"
    r"|sorry\b|(?:i|we) (?:sincerely )?apologi[sz]e\b|(?:my )?apologies\b|unfortunately\b"
    r"|(?:i would|i['’]d) be (?:happy|glad) to\b"
    r"|thank(?:s| you) for (?:sharing|uploading|providing) (?:the|this|your)\b"
    rf"|please (?:provide|upload|share|attach|send) .{{0,20}}\b{_IMAGE}\b"
    r"|\[?content (?:not available|unavailable|blocked|removed|filtered|policy)\b",
    re.IGNORECASE,
)
_WHY = re.compile(
    rf"\b(?:{_CANNOT} (?:\w+ly )?(?:{_DESCRIBE}|{_DO})|{_UNABLE} to|(?:not|n['’]t) possible"
    r"|(?:do not|don['’]t) (?:have|know)|(?:cannot|can['’]?t) (?:read|tell)|not sure"
    r"|not (?:allowed|permitted|comfortable|able)|decline|guidelines|polic(?:y|ies)|violat\w+"
    rf"|(?:see|no|any|your|another) {_IMAGE}\b(?! of)|describ\w+|identify\w*|assist)\b",
    re.IGNORECASE,
)
"""What makes more of an apology than words that anyone says."""
_SIGNS = (
    r"(?:signs?|cards?|stamp|placeholder|sticker|poster|note|label|banner|billboard|plaque|mug"
    r"|t?-?shirts?|tattoo|logo|badge|button|message|letters?|words?|screen|page|neon|graffiti"
    r"|cake|balloon|magnet|patch|doormat|mat|pin|cap|hoodie|cover|sleeve)"
)
_WRITTEN = re.compile(
    r"(?<!what )(?<!that )(?<!which )(?<!who )\b(?:is|are)(?: \w+)?"
    r" (?:written|printed|painted|tattooed|sprayed|scrawled|carved|stitched|embroidered|engraved"
    r"|stamped|lettered|the title|the text|the caption)\b"
    r"|, (?:says|reads) (?:the|a|an)\b"
    rf"|\b(?:says?|reads?)[,:]? (?:the|a|an|one|this|his|her) (?:[\w-]+ ){{0,3}}"
    rf"(?:{_SIGNS}|bubble|board|wall|sheet|paper|\w+board|text|writing)\b"
    rf"|: (?:a|an|the|one) (?:\w+ ){{0,3}}{_SIGNS}\b",
    re.IGNORECASE,
)
"""Words on something in the image, that the text begins with."""
_ON_SIGN = re.compile(
    r"(?:(?!(?:the|a|an|this|that|these|those|any|your|what|which|with|of)\b)[\w'’]+[,.!]? ){1,8}"
    rf"{_SIGNS}\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"[^.,]{1,60}, (?:a|an|one|two|three|four|five|some|several|he|she|his|her|they)\b",
    re.IGNORECASE,
)
"""What follows is what someone in the image cannot do."""
_NEAR = 250


def is_refusal(text: str) -> bool:
    """Whether `text` begins as a refusal does. Words on a card or sign are none, nor is what
    someone in the image cannot do."""
    filler = _FILLER.match(text)
    start = filler.end() if filler else 0
    certain = _CERTAIN.match(text, start)
    possible = certain or _POSSIBLE.match(text, start)
    if possible is None:
        return False
    if _WRITTEN.search(text, start, start + _NEAR):
        return False
    if possible[0][:1] in "uUcCnN" and _SUBJECT.match(text, start):
        return False
    if certain:
        return True
    if _ON_SIGN.match(text, start):
        return False
    if possible.end() >= len(text.rstrip(".!?] ")):
        return True
    return _WHY.search(text, start, start + _NEAR) is not None
