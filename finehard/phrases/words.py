"""The closed word classes of English, and the word lists of this stage's rules."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ARTICLES = _set("a an the")
POSSESSIVES = _set("my your his her its our their whose")
QUANTITIES = _set("some several many few both multiple numerous various")
NUMBERS = _set("one two three four five six seven eight nine ten eleven twelve dozen hundred")

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

UNITS = _set(
    "sprig field forest "
    "pair couple group bunch stack row pile crate basket box ball piece slice set bouquet loaf "
    "can jar bag bucket vase herd flock tray crowd glass bottle cup mug plate bowl pot pan jug "
    "pitcher carton packet pack roll bar sheet cluster bundle string line heap tuft patch bed "
    "school stream trio team band family dozen handful dish platter tub barrel tin spoon bale"
)
"""Nouns that form one phrase with "of" and a bare noun phrase: "a pair of shoes"."""

AMOUNTS = _set(
    "number variety range array series lot plenty kind type sort part portion assortment "
    "collection selection amount mix mixture majority abundance bit"
)
"""Nouns that only quantify what follows "of": "a variety of fruits" is fruits."""

UNGROUNDABLE = _set(
    "view scene image background foreground backdrop atmosphere architecture side left right top bottom center "
    "centre middle front back rear light lighting shadow shade perspective number variety "
    "description style color colour day time moment photograph photo picture shot frame "
    "composition setting ambiance ambience mood feeling sense touch tone hue contrast detail "
    "focus angle vantage point distance end edge corner place location position area space "
    "surface surroundings environment way direction thing object item element feature subject "
    "part section portion kind type sort shape size texture design look appearance "
    "presence arrangement display state condition impression effect reflection sunlight daylight "
    "glow brightness darkness air weather season morning afternoon evening night spring summer "
    "autumn fall winter sun moonlight entity matter whole half rest lot range array series depth "
    "quality nature character pattern theme caption information example case fact form activity "
    "interaction interpretation overall total movement motion smile expression gaze pose posture "
    "work life world reality others other one ones camera viewer observer addition interior "
    "exterior horizon layout aesthetic vibe level height width length opposite vicinity midst "
    "circle pop passage burst splash bustle build complexion physique hint glimpse clue action palette ground air mid-air intersection match game event breakfast "
    "lunch dinner rain"
)
"""Heads that cannot be boxed, even if WordNet has a physical sense of them."""

GROUNDABLE = _set(
    "droplet drop skyline "
    "people crowd family herd flock team band wave goal calendar park forest field garden rainbow "
    "flame fire smoke bubble ornament logo wheelchair tattoo menu newspaper magazine sign letter "
    "map flag ribbon stripe stain puddle cloud snow ice graffiti mural poster pair couple group "
    "bunch stack row pile yard playground square pet traffic furniture silverware clothing "
    "jewelry luggage pottery foliage fur hair calligraphy check card note book tag coin crest "
    "letterhead signature paragraph rooftop coastline line savanna coast shore crew bill "
    "signpost banknote diploma certificate textbook booklet passport ticket receipt badge label "
    "lettering inscription arrow emblem monogram barcode logo spot dot cube crescent "
    "raindrop snowflake footprint puddle mist fog haze "
    "television racket lawn meadow terrain step peak cliff overalls scrubs throw blaze "
    "award baseball bible buoy dollar keycard money packet pennant penny postcard shears windsock "
    "sprinkle smudge median fringe scar insignia graph title subtitle watermark "
    "rectangle hexagon swirl spiral zigzag cartoon journal novel invoice coupon stamp clutch spark "
    "lightning accent cemetery pitch fairway desert prairie signage advertisement artwork "
    "supports register mark marking symbol outline page text message inscription script numeral digit word "
    "initial slogan heading headline decal sticker print court lane trail crosswalk runway "
    "intersection roadway border outfit costume uniform hairstyle haircut statue seam crease fold "
    "structure formation installation overalls scrubs streak scratch speck fig flash "
    "spotlight headlight flare checkerboard grid expanse row mesh icon dial "
    "pearl brochure leaflet pamphlet flyer seaweed audience procession orchestra choir queue"
)
"""Heads that can be boxed, though WordNet classifies them as groups, places or messages."""

MASS = _set(
    "water grass sand snow ice hair fur sky fruit food bread rice cheese meat furniture clothing "
    "luggage silverware jewelry pottery foliage traffic smoke fire wood glassware vegetation "
    "greenery graffiti soil mud dirt gravel hay milk juice coffee tea wine beer soup pasta butter "
    "honey sugar salt chocolate paper cloth fabric lace leather lavender moss ivy ground people "
    "cutlery tableware laundry equipment machinery salad steam fog mist dust makeup eyewear "
    "headgear footwear jeans denim attire skin text lettering writing paint sunlight"
)
"""Nouns without an indefinite article."""

EMPTY_ADJECTIVES = _set("same own such certain main overall respective")
"""Adjectives that identify an object only within the text; omitted from phrases."""

NOT_HEADS = _set("one ones other others such former latter")

COLORS = _set(
    "red blue yellow purple white green pink black orange gray grey brown beige gold golden "
    "silver cream tan navy teal turquoise maroon "
    "violet crimson scarlet magenta indigo burgundy lilac mauve"
)

SHADES = _set("light dark bright deep pale medium soft dull vibrant rich pastel muted")
"""Adjectives of a colour: "a light brown floor"."""

COLLECTIVES = _set("pair couple group bunch stack row pile set cluster herd flock")
"""Units whose members are the visible object: the head of "a pair of shoes" is the shoe."""

GROUNDABLE_PAIRS = frozenset(
    {
        "traffic light", "street light", "street corner", "picture frame", "window frame",
        "bed frame", "photo frame", "framed photo", "framed photograph", "framed picture",
        "string light", "christmas light", "light bulb", "wooden frame", "metal frame",
        "door frame", "lamp shade", "pleated shade", "window shade", "ceiling light",
        "pendant light", "tea light", "glasses frame", "tank top", "crop top", "board game",
        "front end", "top story", "upper story", "lower story", "corner support", "rear end", "back end", "parking lot", "empty lot", "vacant lot",
        "parking space", "swing set", "play set", "television set", "tv set", "tea set", "bus stop",
        "store front", "shop front", "house front", "cash register", "signal light", "flower arrangement", "floral arrangement", "mountain range",
        "video game", "art piece", "power line", "tree line", "clothes line", "water feature",
        "overhead light", "fairy light", "work light", "hard court", "tennis court",
        "basketball court", "remote control", "building site", "construction site", "qr code",
        "guitar case", "instrument case", "phone case", "pillow case", "display case",
    }
)  # fmt: skip
"""Pairs of last words that can be boxed, though the last word alone cannot."""

DEGREES = frozenset(["very", "quite", "rather", "too", "fairly", "slightly", "extremely"])
"""Adverbs that modify adjectives, not nouns."""

READS_INTO = _set(
    "suggest indicate imply convey evoke symbolize emphasize highlight illustrate express radiate "
    "document underline underscore reminiscent hint resemble"
)
"""Verbs after which the sentence interprets the image rather than describing it."""

SHOWS = _set("show depict capture feature present display see")
WITHIN = _set("in at inside within into from through")
BARE_CATEGORIES = frozenset("kyr")
"""Categories whose singular needs no article: food, substance, plant."""

OBJECTS_IF_SPECIFIED = _set(
    "top frame case shade line surface ground pattern area section end work spot circle"
)
"""Ungroundable heads that are objects with a modifier: "a sleeveless top", "a grassy area"."""

VAGUE = _set(
    "small large big whole entire same outdoor indoor urban suburban rural city surrounding main "
    "central lower upper left right top bottom middle other open general public adjacent nearby "
    "specific particular certain different similar striking far near opposite unique distinct overall "
    "dark bright wide narrow inner outer shadowed visible exterior interior"
)
"""Modifiers that do not make such a head an object: "the surrounding area"."""

PATTERNED = _set(
    "floral geometric intricate ornate decorative abstract swirling wavy leafy striped checkered "
    "plaid paisley printed painted embroidered carved colorful star heart flower leaf animal tribal"
)
"""Modifiers of a design that is printed or carved, not of the way something is designed."""

PLACED = _set(
    "upper lower far near nearest closest farthest furthest outer inner leading opposite remaining"
)
"""Adjectives of position: "the upper floor"."""

PERSONS = _set("man woman boy girl child person kid lady figure couple crew people")
"""Generic nouns for persons: "the man" after "a cyclist" is the cyclist."""

MEN = _set("man boy")
WOMEN = _set("woman girl lady")

SETTING = _set("wall air entrance exit terrain land savanna")
"""Surroundings: boxed if specified ("a brick wall"), not as "the wall"."""

RELIEF = _set("slope mountain hill field landscape wind island shore")
"""Natural surroundings: boxed if specified or several, not as "the slope"."""

MEDIA = _set("in into through from")
"""Prepositions before a medium: "in the water", "through the mist"."""

COATS = _set("dust cap sprinkle stain coat dot smear streak splatter caked flavor season")
"""Participles whose "with" names a coating rather than an object: "dusted with flour"."""

PARTS = _set("foot heart body rim crest bank face skeleton interior inside")
"""Parts that only locate something on the noun after "of": "at the foot of the bed"."""

OUTSIDE = _set("viewer observer photographer artist designer image photo picture scene camera")
"""Owners of what is not in the image: "the viewer's eye"."""

OUTLINES = _set("outline contour")
"""Nouns that are objects of their own, but not followed by "of": "the outline of a ship"."""

TIMES = _set("morning evening night sunset sunrise day afternoon moon sun candle stage window")
"""Nouns before "light" that do not make it a lamp."""

NOTES = _set("text word message")
"""Writing that the caption quotes or talks about when it says "the text"."""

SITES = _set(
    "street road avenue alley market park playground garden square plaza platform beach office "
    "village valley arena underpass tunnel farmyard barnyard pub tavern hall"
)
"""Open places that can contain a whole scene, in addition to WordNet's venues."""

COUNTS_ONLY = _set("row pair group bunch set line series string cluster dozen couple")
"""Units that are not objects unless "of" follows: "hang in a row"."""

TITLES = _set(
    "view shot close-up closeup photo photograph picture image portrait scene snapshot selfie "
    "painting drawing illustration depiction rendering sketch screenshot scan collage poster"
)
"""Nouns for the image itself; a caption that begins with one may be a title without a verb."""

DEPICTIONS = TITLES | _set(
    "statue sculpture figure figurine model map print mural image silhouette outline reflection "
    "shape bust poster sign symbol"
)
"""Nouns whose "of" names what they depict, not what they consist of or contain."""

LOOKS = _set("look shape seem appear feel be more much rather something almost")
"""Words after which "like" is a comparison: "looks like a toy"."""

MAKES = _set(
    "make build carve craft construct forge weave finish upholster sculpt knit sew cast clad"
)
"""Verbs whose "of", "from" or "in" names the material."""

WRITES = _set("write draw print paint outline letter sketch inscribe ink")
"""Verbs whose "in" names the writing material: "written in black ink"."""

WATERS = _set(
    "river stream lake sea ocean pond pool bay canal creek lagoon harbor harbour fountain "
    "waterfall wave brook rapid puddle reservoir inlet cove fjord surf"
)
"""Bodies of water, which a later "the water" refers to."""

COMPANIONS = _set("companion friend partner colleague teammate counterpart opponent")
"""Persons named by their relation to another: "his companion" is one of the "two men"."""

NOT_VENUES = _set("cab cockpit stall toilet bar booth kiosk doghouse birdhouse")
"""Venues in WordNet that are mostly objects seen from outside."""

GENERIC = _set("animal creature vehicle structure")
"""Generic nouns that refer back to something named before: "the animal"."""

GUESSES = _set("probably perhaps possibly likely presumably maybe potentially")
"""Adverbs before a guess: "a woman, probably the teacher"."""

UNSEEN = _set("unseen invisible imaginary absent missing hypothetical off-screen off-camera")
"""Adjectives of things that are not in the image."""
