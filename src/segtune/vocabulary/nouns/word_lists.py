"""The closed word lists of the rule-based extractor: words of captions that are no nouns.

Everyday words chosen by hand from the grammar of English and from how people describe pictures;
copied from no corpus.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this that these those some any each every another other both all no his her its "
    "their my your our several many few various multiple such what which whose"
)
"""Words after which a noun phrase starts."""

PRONOUNS = _words(
    "i me you he him she it we us they them who whom himself herself itself themselves someone "
    "something somebody everyone everything anyone anything nobody nothing there here one's mine "
    "yours hers ours theirs where when how why"
)

PREPOSITIONS = _words(
    "of in on at by to from with without into onto over under above below beneath underneath "
    "beside besides between among amongst behind before after against along alongside across "
    "around about near next inside outside through throughout toward towards upon off out up down "
    "during like than via within beyond past amid atop for as per until since despite except"
)

CONJUNCTIONS = _words("and or but nor so yet while whilst if because although though then plus")

AUXILIARIES = _words(
    "is are was were be been being am has have had having do does did doing can could will would "
    "shall should may might must isn't aren't wasn't weren't doesn't don't didn't it's he's she's "
    "there's that's they're not n't"
)

VERBS = _words(
    "sit sits sat stand stands stood lie lies lay lays laid walk walks run runs ran ride rides "
    "rode ridden hold holds held wear wears wore worn eat eats ate eaten drink drinks drank play "
    "plays look looks show shows shown watch watches carry carries fly flies flew flown jump jumps "
    "throw throws threw thrown catch catches caught hit hits swing swings swung hang hangs hung "
    "lean leans pose poses smile smiles talk talks use uses make makes made take takes took taken "
    "put puts get gets got go goes went gone come comes came cut cuts drive drives drove driven "
    "pull pulls push pushes prepare prepares swim swims swam surf surfs ski skate skates sleep "
    "sleeps slept rest rests wait waits grow grows grew grown feed feeds fed read reads sell sells "
    "sold fill fills cover covers surround surrounds contain contains include includes reach "
    "reaches stare stares perform performs perch perches see sees saw seen pass passes cross "
    "crosses travel travels graze grazes gather gathers enjoy enjoys leave float floats serve "
    "serves try tries tried hover hovers fall falls fell fallen climb climbs kick kicks brush "
    "brushes cook cooks feature features top tops line lines face faces set sets"
)
"""Frequent verbs of captions in their plain, -s and past forms; -ing and -ed have rules."""

NOUN_OR_VERB = _words(
    "top line face cross surf fly ski watch drink play cover brush cook feature lines faces "
    "crosses watches plays covers brushes cooks features tops flies rest swing swings look cut "
    "walk show shows set sets catch leave"
)
"""Verbs of that list that are nouns after a determiner or an adjective: "a watch", "the cross"."""

ADVERBS = _words(
    "very too also just only together apart away back forward forwards backwards upside downwards "
    "upwards indoors outdoors nearby overhead alone again ahead aside well almost half still even "
    "now soon once not more most less least else side-by-side mid-air midair"
)

NUMBERS = _words(
    "one two three four five six seven eight nine ten eleven twelve dozen dozens hundred hundreds "
    "thousand thousands first second third fourth fifth"
)

COLOURS = _words(
    "red orange yellow green cyan blue purple violet pink magenta brown black white gray grey "
    "silver golden beige turquoise teal navy maroon tan multicolored multi-colored colorful "
    "colourful dark light bright pale colored coloured bluish reddish greenish black-and-white"
)

ADJECTIVES = _words(
    "big large small little tiny huge giant long short tall high low wide narrow thick thin young "
    "old older younger elderly new modern ancient antique vintage beautiful pretty nice cute "
    "lovely fancy clean dirty dusty muddy wet dry hot cold warm cool cloudy sunny rainy snowy "
    "foggy windy stormy clear empty full open closed busy quiet crowded lush leafy grassy sandy "
    "rocky rough smooth soft hard flat round square rectangular sharp heavy broken rusty wooden "
    "metallic plastic furry fluffy hairy shaggy bald barefoot happy sad angry sleepy asleep awake "
    "hungry curious playful funny strange odd unusual different same similar separate single "
    "double male female adult fresh ripe raw sweet tasty delicious healthy homemade assorted mixed "
    "plain fried grilled baked cooked sliced chopped decorative ornate old-fashioned traditional "
    "professional public private local urban rural tropical wild stuffed front-facing left right "
    "upper lower rear main entire whole own last final bottom middle central several lone calm "
    "choppy distant steep deep shallow bare dead alive ready able various striped spotted dotted "
    "checkered shiny glossy transparent electric great good bad best"
)
"""Frequent adjectives of captions."""

NOT_ADJECTIVES_AT_THE_END = _words("orange square plastic adult light dark tan silver right left")
"""Colours and adjectives that are nouns where nothing follows: "an orange", "a town square"."""

ING_NOUNS = _words(
    "building clothing ceiling railing awning wedding evening morning painting icing stuffing "
    "string ring king wing spring sling thing pudding dressing frosting topping crossing lighting "
    "earring drawing carving flooring paneling siding sibling duckling housing landing parking "
    "bing offspring herring planting covering outbuilding lettering rigging swing"
)
ED_NOUNS = _words("bed sled shed seed weed reed flatbed bobsled steed seabed watershed moped biped")
LY_NOUNS = _words("fly family jelly belly butterfly dragonfly lily trolley gully assembly ally")
"""Nouns that the suffix rules would take for verbs and adverbs."""

FIXED_PHRASES = tuple(
    tuple(phrase.split())
    for phrase in (
        *("in front of", "on top of", "on the top of", "at the top of", "next to", "close to"),
        *("in the middle of", "in the center of", "in the centre of", "in the process of"),
        *("on the side of", "at the side of", "on the edge of", "at the edge of", "at the end of"),
        *("on the back of", "in the back of", "at the back of", "at the bottom of"),
        *("in the background", "in the background of", "in the foreground", "in the distance"),
        *("to the left of", "to the right of", "on the left", "on the right", "in the air"),
        *("on either side of", "on each side of", "on both sides of", "side by side"),
        *("a lot of", "lots of", "full of", "as well as", "such as", "kind of", "upside down"),
        *("on it", "in it", "each other", "one another", "at night", "up close", "at a time"),
    )
)
"""Several words that together are a preposition or an adverb."""
