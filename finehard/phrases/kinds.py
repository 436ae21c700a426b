"""Which nouns can be boxed: the lists that correct and refine WordNet's categories."""

from __future__ import annotations

from finehard.phrases.words import word_set

UNGROUNDABLE = word_set(
    "action activity addition aesthetic afternoon air ambiance ambience angle appearance "
    "architecture area arrangement array atmosphere autumn back backdrop background bottom "
    "breakfast brightness build burst bustle camera caption case center centre character circle "
    "clue color colour complexion composition condition contrast corner darkness day daylight "
    "depth description design detail dinner direction display distance edge effect element end "
    "entity environment evening event example expression exterior fact fall feature feeling focus "
    "foreground form frame front game gaze glimpse glow ground half height hint horizon hue image "
    "impression information interaction interior interpretation intersection item kind layout left "
    "length level life light lighting location look lot lunch match matter mid-air middle midst "
    "moment mood moonlight morning motion movement nature night number object observer one ones "
    "opposite other others overall palette part passage pattern perspective photo photograph "
    "physique picture place point pop portion pose position posture presence quality rain range "
    "reality rear reflection rest right scene season section sense series setting shade shadow "
    "shape shot side size smile sort space splash spring state style subject summer sun sunlight "
    "surface surroundings texture theme thing time tone top total touch type vantage variety vibe "
    "vicinity view viewer way weather whole width winter work world"
)
"""Heads that cannot be boxed, even if WordNet has a physical sense of them."""


GROUNDABLE = word_set(
    "accent advertisement arrow artwork audience award badge band banknote barcode baseball bible "
    "bill blaze book booklet border brochure bubble bunch buoy calendar calligraphy card cartoon "
    "cemetery certificate check checkerboard choir cliff clothing cloud clutch coast coastline "
    "coin costume couple coupon court crease crescent crest crew crosswalk crowd cube decal desert "
    "dial digit diploma dollar dot drop droplet emblem expanse fairway family field fig fire flag "
    "flame flare flash flock flyer fog fold foliage footprint forest formation fringe fur "
    "furniture garden goal graffiti graph grid group hair haircut hairstyle haze heading headlight "
    "headline herd hexagon ice icon initial inscription insignia installation intersection invoice "
    "jewelry journal keycard label lane lawn leaflet letter letterhead lettering lightning line "
    "logo luggage magazine map mark marking meadow median menu mesh message mist money monogram "
    "mural newspaper note novel numeral orchestra ornament outfit outline overalls packet page "
    "pair pamphlet paragraph park passport peak pearl pennant penny people pet pile pitch "
    "playground postcard poster pottery prairie print procession puddle queue racket rainbow "
    "raindrop receipt rectangle register ribbon roadway rooftop row runway savanna scar scratch "
    "script scrubs seam seaweed shears shore sign signage signature signpost silverware skyline "
    "slogan smoke smudge snow snowflake spark speck spiral spot spotlight sprinkle square stack "
    "stain stamp statue step sticker streak stripe structure subtitle supports swirl symbol tag "
    "tattoo team television terrain text textbook throw ticket title traffic trail uniform "
    "watermark wave wheelchair windsock word yard zigzag"
)
"""Heads that can be boxed, though WordNet classifies them as groups, places or messages."""


GROUNDABLE_PAIRS = frozenset(
    {
        "art piece", "back end", "basketball court", "bed frame", "board game", "building site",
        "bus stop", "cash register", "ceiling light", "christmas light", "clothes line",
        "construction site", "corner support", "crop top", "display case", "door frame",
        "empty lot", "fairy light", "floral arrangement", "flower arrangement", "framed photo",
        "framed photograph", "framed picture", "front end", "glasses frame", "guitar case",
        "hard court", "house front", "instrument case", "lamp shade", "light bulb", "lower story",
        "metal frame", "mountain range", "overhead light", "parking lot", "parking space",
        "pendant light", "phone case", "photo frame", "picture frame", "pillow case", "play set",
        "pleated shade", "power line", "qr code", "rear end", "remote control", "shop front",
        "signal light", "store front", "street corner", "street light", "string light",
        "swing set", "tank top", "tea light", "tea set", "television set", "tennis court",
        "top story", "traffic light", "tree line", "tv set", "upper story", "vacant lot",
        "video game", "water feature", "window frame", "window shade", "wooden frame",
        "work light",
    }
)  # fmt: skip
"""Pairs of last words that can be boxed, though the last word alone cannot."""


COUNTS_ONLY = word_set("bunch cluster couple dozen group line pair row series set string")
"""Units that are not objects unless "of" follows: "hang in a row"."""


OBJECTS_IF_SPECIFIED = word_set(
    "area case circle end frame ground line pattern section shade spot surface top work"
)
"""Ungroundable heads that are objects with a modifier: "a sleeveless top", "a grassy area"."""


VAGUE = word_set(
    "adjacent big bottom bright central certain city dark different distinct entire exterior far "
    "general indoor inner interior large left lower main middle narrow near nearby open opposite "
    "other outdoor outer overall particular public right rural same shadowed similar small "
    "specific striking suburban surrounding top unique upper urban visible whole wide"
)
"""Modifiers that do not make such a head an object: "the surrounding area"."""


PATTERNED = word_set(
    "abstract animal carved checkered colorful decorative embroidered floral flower geometric "
    "heart intricate leaf leafy ornate painted paisley plaid printed star striped swirling tribal "
    "wavy"
)
"""Modifiers of a design that is printed or carved, not of the way something is designed."""


TIMES = word_set("afternoon candle day evening moon morning night stage sun sunrise sunset window")
"""Nouns before "light" that do not make it a lamp."""


OUTLINES = word_set("contour outline")
"""Nouns that are objects of their own, but not followed by "of": "the outline of a ship"."""


NOTES = word_set("message text word")
"""Writing that the caption quotes or talks about when it says "the text"."""


OUTSIDE = word_set("artist camera designer image observer photo photographer picture scene viewer")
"""Owners of what is not in the image: "the viewer's eye"."""


BARE_CATEGORIES = frozenset("kyr")
"""Categories whose singular needs no article: food, substance, plant."""
