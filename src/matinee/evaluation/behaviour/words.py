"""Names and places that can stand for one another. None is an ordinary word too, as Will, Rose or Reading are."""

from __future__ import annotations

# By the pronoun that a text may go on with.
_SHE = (
    "Anna", "Maria", "Laura", "Emma", "Sarah", "Julia", "Rachel", "Susan", "Linda", "Helen", "Jennifer", "Elizabeth", "Margaret",
    "Barbara", "Nancy", "Lisa", "Michelle", "Angela", "Rebecca", "Fatima", "Aisha", "Priya", "Yuki", "Ingrid", "Olga", "Elena",
    "Ngozi", "Zanele", "Marie", "Catherine",
)  # fmt: skip
_HE = (
    "John", "James", "Robert", "Michael", "David", "Richard", "Thomas", "Charles", "Daniel", "Matthew", "Paul", "Steven", "Kevin",
    "Brian", "George", "Peter", "Tom", "Ahmed", "Omar", "Arjun", "Hiroshi", "Lars", "Ivan", "Carlos", "Diego", "Kwame", "Emeka",
    "Piotr", "Martin", "Philip",
)  # fmt: skip
FIRST_NAMES = (*_SHE, *_HE)

CITIES = (
    "London", "Paris", "Berlin", "Madrid", "Rome", "Vienna", "Chicago", "Boston", "Seattle", "Toronto", "Tokyo", "Mumbai", "Lagos",
    "Nairobi", "Lima", "Oslo", "Dublin", "Los Angeles", "San Francisco", "New York", "Moscow", "Cairo",
)  # fmt: skip
_COUNTRIES = (
    "France", "Germany", "Spain", "Italy", "Canada", "Brazil", "India", "Japan", "Kenya", "Nigeria", "Norway", "Poland", "Vietnam",
    "England", "Russia", "Ireland", "Australia", "Scotland",
)  # fmt: skip

NAME_KINDS = (_SHE, _HE)
PLACE_KINDS = (CITIES, _COUNTRIES)

# Pictures of things, without a face or a hand: they say nothing of how somebody feels.
NEUTRAL_EMOJI = ("📅", "🕐", "📍", "📝", "🔎", "📦", "🚪", "📎")
