"""The closed word classes of English, and the word lists of this stage's rules."""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ARTICLES = word_set("a an the")
POSSESSIVES = word_set("my your his her its our their whose")
QUANTITIES = word_set("some several many few both multiple numerous various")
NUMBERS = word_set("one two three four five six seven eight nine ten eleven twelve dozen hundred")

_CLASSES = {
    "DET": "a an the this that these those some any no every each another either neither both all "
    "several many few multiple numerous various my your his its our their whose",
    "NUM": " ".join(NUMBERS),
    "PRON": "i you he she it we they me him us them who whom which what himself herself itself "
    "themselves something someone somebody anything anyone everything everyone nothing nobody "
    "others there mine yours hers theirs",
    "AUX": "is are was were be been being am has have had do does did can could may might must "
    "shall should will would 's 're n't not",
    "ADP": "of in on at by for with from to into onto upon over under above below behind beside "
    "besides between among amongst around across along against near through toward towards off "
    "inside outside within without beneath underneath beyond past throughout during amid atop "
    "like about down up via next alongside per despite",
    "CCONJ": "and or but nor &",
    "SCONJ": "while as if because although though when where whereas since unless until so than "
    "whether how why",
    "ADV": "very quite rather too also just only even still slightly partially fully mostly "
    "almost nearly here then thus however therefore likely perhaps possibly now together apart "
    "more most less out away back forward neatly well often always never ago directly "
    "prominently clearly visibly closer further farther",
}
CLOSED = {word: tag for tag, words in _CLASSES.items() for word in words.split()}

UNITS = word_set(
    "sprig field forest pair couple group bunch stack row pile crate basket box ball piece slice "
    "set bouquet loaf can jar bag bucket vase herd flock tray crowd glass bottle cup mug plate "
    "bowl pot pan jug pitcher carton packet pack roll bar sheet cluster bundle string line heap "
    "tuft patch bed school stream trio team band family dozen handful dish platter tub barrel tin "
    "spoon bale"
)
"""Nouns that form one phrase with "of" and a bare noun phrase: "a pair of shoes"."""

AMOUNTS = word_set(
    "number variety range array series lot plenty kind type sort part portion assortment "
    "collection selection amount mix mixture majority abundance bit"
)
"""Nouns that only quantify what follows "of": "a variety of fruits" is fruits."""


MASS = word_set(
    "water grass sand snow ice hair fur sky fruit food bread rice cheese meat furniture clothing "
    "luggage silverware jewelry pottery foliage traffic smoke fire wood glassware vegetation "
    "greenery graffiti soil mud dirt gravel hay milk juice coffee tea wine beer soup pasta butter "
    "honey sugar salt chocolate paper cloth fabric lace leather lavender moss ivy ground people "
    "cutlery tableware laundry equipment machinery salad steam fog mist dust makeup eyewear "
    "headgear footwear jeans denim attire skin text lettering writing paint sunlight"
)
"""Nouns without an indefinite article."""

EMPTY_ADJECTIVES = word_set("same own such certain main overall respective")
"""Adjectives that identify an object only within the text; omitted from phrases."""

NOT_HEADS = word_set("one ones other others such former latter")

COLORS = word_set(
    "red blue yellow purple white green pink black orange gray grey brown beige gold golden silver "
    "cream tan navy teal turquoise maroon violet crimson scarlet magenta indigo burgundy lilac "
    "mauve"
)

SHADES = word_set("light dark bright deep pale medium soft dull vibrant rich pastel muted")
"""Adjectives of a colour: "a light brown floor"."""

COLLECTIVES = word_set("pair couple group bunch stack row pile set cluster herd flock")
"""Units whose members are the visible object: the head of "a pair of shoes" is the shoe."""


DEGREES = frozenset(["very", "quite", "rather", "too", "fairly", "slightly", "extremely"])
"""Adverbs that modify adjectives, not nouns."""

READS_INTO = word_set(
    "suggest indicate imply convey evoke symbolize emphasize highlight illustrate express radiate "
    "document underline underscore reminiscent hint resemble"
)
"""Verbs after which the sentence interprets the image rather than describing it."""

SHOWS = word_set("show depict capture feature present display see")
WITHIN = word_set("in at inside within into from through")


PLACED = word_set(
    "upper lower far near nearest closest farthest furthest outer inner leading opposite remaining"
)
"""Adjectives of position: "the upper floor"."""

PERSONS = word_set("man woman boy girl child person kid lady figure couple crew people")
"""Generic nouns for persons: "the man" after "a cyclist" is the cyclist."""

MEN = word_set("man boy")
WOMEN = word_set("woman girl lady")

SETTING = word_set("wall air entrance exit terrain land savanna")
"""Surroundings: boxed if specified ("a brick wall"), not as "the wall"."""

RELIEF = word_set("slope mountain hill field landscape wind island shore")
"""Natural surroundings: boxed if specified or several, not as "the slope"."""

MEDIA = word_set("in into through from")
"""Prepositions before a medium: "in the water", "through the mist"."""

COATS = word_set("dust cap sprinkle stain coat dot smear streak splatter caked flavor season")
"""Participles whose "with" names a coating rather than an object: "dusted with flour"."""

PARTS = word_set("foot heart body rim crest bank face skeleton interior inside")
"""Parts that only locate something on the noun after "of": "at the foot of the bed"."""


SITES = word_set(
    "street road avenue alley market park playground garden square plaza platform beach office "
    "village valley arena underpass tunnel farmyard barnyard pub tavern hall"
)
"""Open places that can contain a whole scene, in addition to WordNet's venues."""


TITLES = word_set(
    "view shot close-up closeup photo photograph picture image portrait scene snapshot selfie "
    "painting drawing illustration depiction rendering sketch screenshot scan collage poster"
)
"""Nouns for the image itself; a caption that begins with one may be a title without a verb."""

DEPICTIONS = TITLES | word_set(
    "statue sculpture figure figurine model map print mural image silhouette outline reflection "
    "shape bust poster sign symbol"
)
"""Nouns whose "of" names what they depict, not what they consist of or contain."""

LOOKS = word_set("look shape seem appear feel be more much rather something almost")
"""Words after which "like" is a comparison: "looks like a toy"."""

MATERIALS = word_set(
    "brick stone wood glass metal concrete steel iron marble granite plastic leather wool cotton "
    "denim paper rubber copper brass bronze gold silver chrome wicker bamboo mesh velvet silk"
)
"""Materials that two of a kind name together: "a glass and metal table"."""

MAKES = word_set(
    "make build carve craft construct forge weave finish upholster sculpt knit sew cast clad"
)
"""Verbs whose "of", "from" or "in" names the material."""

WRITES = word_set("write draw print paint outline letter sketch inscribe ink")
"""Verbs whose "in" names the writing material: "written in black ink"."""

WATERS = word_set(
    "river stream lake sea ocean pond pool bay canal creek lagoon harbor harbour fountain "
    "waterfall wave brook rapid puddle reservoir inlet cove fjord surf"
)
"""Bodies of water, which a later "the water" refers to."""

COMPANIONS = word_set("companion friend partner colleague teammate counterpart opponent")
"""Persons named by their relation to another: "his companion" is one of the "two men"."""

NOT_VENUES = word_set("cab cockpit stall toilet bar booth kiosk doghouse birdhouse")
"""Venues in WordNet that are mostly objects seen from outside."""

GENERIC = word_set("animal creature vehicle structure")
"""Generic nouns that refer back to something named before: "the animal"."""

GUESSES = word_set("probably perhaps possibly likely presumably maybe potentially")
"""Adverbs before a guess: "a woman, probably the teacher"."""

UNSEEN = word_set("unseen invisible imaginary absent missing hypothetical off-screen off-camera")
"""Adjectives of things that are not in the image."""
