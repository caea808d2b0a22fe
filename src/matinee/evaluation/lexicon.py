"""Words of praise and of blame in English reviews: rough cues for slices, never a classifier.

Chosen by hand for what people write of films, books, products, food and services; every form that counts is written out.
Words that praise one thing and blame another ("long", "cheap", "funny", "predictable", "kind", "like", "well") are left out, so that a
text without any of these words may still be full of praise. "Not good" is for whoever counts them to see: `NEGATORS`.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRAISE: frozenset[str] = _words(
    """
    adorable adore adored amazing amazingly appealing astonishing attentive awesome beautiful beautifully believable best
    breathtaking brilliant brilliantly captivating charm charming classy clever cleverly comfortable compelling convincing
    courteous crisp dazzling deft delicious delight delighted delightful durable effective efficient elegant elegantly
    enchanting engaging engrossing enjoy enjoyable enjoyed enjoying enthralling entertaining exceptional exceptionally
    excellent excellently excels exciting exhilarating exquisite fabulous fantastic fascinating favorite favourite
    finest flawless flawlessly fresh friendly gem genius glad good gorgeous graceful great greatest gripping happy heartfelt
    heartwarming helpful hilarious honest imaginative immaculate impeccable impressed impressive impressively incredible
    incredibly ingenious inspired inspiring insightful intelligent inventive love loved lovely loves luminous luscious
    magnificent magical marvellous marvelous masterful masterpiece memorable mesmerizing mesmerising moving nice nicely
    outstanding perfect perfection perfectly phenomenal pleasant pleased pleasing pleasure polished powerful
    priceless recommend recommended refreshing reliable remarkable remarkably rewarding riveting satisfied satisfying
    smart sparkling spectacular splendid stellar stunning stunningly stylish sublime sumptuous superb superbly
    superior sweet talented tasty tender terrific thankful thoughtful thoughtfully thrilled thrilling timeless touching
    treasure triumph unforgettable uplifting vibrant vivid warm warmth winner wise witty wonderful wonderfully
    """
)

BLAME: frozenset[str] = _words(
    """
    abysmal amateurish annoyed annoying appalling atrocious avoid awful awfully awkward bad badly banal bland boring bore bored
    boredom broken bogus butchered cheated clumsily clumsy cliched clichéd clueless complain complained contrived cringe
    crap crappy defective derivative dire disappointed disappointing disappointingly disappointment disaster
    disgusting dishonest dismal drab drags dreadful dreadfully dreary drivel dud dull dumb embarrassing embarrassingly
    excruciating fail failed fails failure fake faulty flat flawed flimsy flop forgettable forced frustrated frustrating garbage
    ghastly greasy grating hate hated hates hideous hideously hopeless horrendous horrible horribly horrid idiotic
    implausible inane incoherent incompetent incomprehensible inept inferior insipid insult insulting intolerable
    irritating joke junk lacking lacks laughable lame lazy lifeless lousy ludicrous mediocre meandering mess messy mindless
    miserable miserably misfire mistake monotonous muddled nasty nauseating nonsense nonsensical offensive overacted overlong
    overpriced overrated painful painfully pathetic plodding pointless poor poorly preposterous pretentious
    refund regret repetitive repulsive ridiculous rotten rubbish rude sappy scam shallow shoddy sloppy
    slow sluggish stale stereotyped stilted stupid stupidly stupidity suck sucked sucks tacky tasteless tedious
    terrible terribly tiresome torture trash trashy trite ugly unbearable unconvincing underwhelming
    unfunny uninspired uninteresting unpleasant unprofessional unusable unwatchable useless vile waste wasted wasting weak
    weakest wooden worse worst worthless
    """
)

STRONG_PRAISE: frozenset[str] = _words(
    """
    amazing awesome breathtaking brilliant excellent exceptional fabulous fantastic flawless genius gem great hilarious
    impressive incredible inspired inspiring lovely magnificent marvellous marvelous masterpiece masterful outstanding perfect
    perfection phenomenal priceless spectacular splendid stellar stunning sublime superb terrific triumph unforgettable wonderful
    """
)
"""Praise so strong that it is often meant the other way round."""

NEGATORS: frozenset[str] = _words(
    "not no never cannot cant dont didnt doesnt isnt wasnt arent werent wont wouldnt couldnt shouldnt hardly neither nor"
)
"""Words that turn the next word of praise or blame round; any word that ends in "n't" does too."""

SARCASTIC_PHRASES: tuple[str, ...] = (
    "yeah right",
    "oh great",
    "oh joy",
    "oh wonderful",
    "oh brilliant",
    "oh fantastic",
    "oh lovely",
    "oh goody",
    "thanks for nothing",
    "just what i needed",
    "just what we needed",
    "just what the world needed",
    "surprise surprise",
    "how original",
    "how very original",
    "how convenient",
    "good luck with that",
    "slow clap",
    "so much for",
    "sure because",
)
"""What people say when they mean the opposite; in lower case and without punctuation."""
