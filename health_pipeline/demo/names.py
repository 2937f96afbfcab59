"""Made-up names of companies, buyers and people, put together from lists of words."""

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from health_pipeline.demo.sampling import IntArray, words

# fmt: off
_PLACES = (
    "Alder", "Amber", "Anker", "Ashford", "Birken", "Blue Heron", "Bright", "Brook", "Cedar", "Clear", "Copper",
    "Coral", "Crest", "Dune", "Eastern", "Elm", "Falken", "Fern", "Fjäll", "Glen", "Granite", "Grün", "Harbor",
    "Hazel", "Hollow", "Iron", "Juniper", "Kestrel", "Lake", "Larch", "Linden", "Lumière", "Maple", "Marlow",
    "Mill", "Moor", "Nordic", "North", "Oak", "Onyx", "Orchard", "Pine", "Quarry", "Raven", "Ridge", "River",
    "Rosen", "Rowan", "Saffron", "Saint-Élan", "Silver", "Sol", "Stone", "Swift", "Tal", "Thistle", "Umber",
    "Valley", "Wester", "Willow",
)
_ENDINGS = (
    "bridge", "field", "gate", "haven", "hill", "land", "mark", "point", "port", "stead", "view", "way", "well",
    "wick", "wood", "works", "yard",
)
_LEGAL_FORMS = ("Ltd", "GmbH", "Group", "Inc", "AB", "SA", "& Co", "Holding", "Partners", "B.V.", "Oy", "S.L.")
_FIRST_NAMES = (
    "Ada", "Agnieszka", "Aisha", "Akira", "Alejandro", "Amélie", "Anders", "Anna", "Antoine", "Ben", "Björn",
    "Camille", "Carla", "Chen", "Chloé", "Clara", "Daniel", "David", "Diego", "Elena", "Emil", "Emma", "Fatima",
    "Felix", "Freja", "Giulia", "Grace", "Hanna", "Hugo", "Ines", "Ingrid", "Isabel", "Ivan", "Jakob", "James",
    "Jin", "João", "Jonas", "José", "Julia", "Karim", "Kofi", "Lars", "Laura", "Lea", "Leon", "Liam", "Lina",
    "Lucía", "Maja", "Marco", "Maria", "Marta", "Maya", "Mei", "Mikael", "Mila", "Nadia", "Naomi", "Nils", "Noah",
    "Nora", "Olga", "Oliver", "Omar", "Oscar", "Paula", "Pedro", "Petra", "Priya", "Rahul", "René", "Rosa", "Ruth",
    "Samuel", "Sara", "Sofia", "Søren", "Tara", "Theo", "Tomas", "Vera", "Viktor", "Wanda", "Yara", "Yusuf", "Zoë",
    "Zuzana",
)
_LAST_NAMES = (
    "Abbott", "Almeida", "Andersen", "Bauer", "Beck", "Berg", "Bianchi", "Björklund", "Brandt", "Carter",
    "Castillo", "Costa", "Dahl", "Dubois", "Eriksen", "Fabre", "Ferrari", "Fischer", "Fontaine", "Garcia", "Gómez",
    "Grant", "Haas", "Hansen", "Hartmann", "Hughes", "Ibrahim", "Ivanova", "Jansen", "Jensen", "Kaya", "Keller",
    "Khan", "Kim", "Kovács", "Krüger", "Larsen", "Laurent", "Lehmann", "Lindqvist", "López", "Lund", "Marchetti",
    "Martin", "Mendes", "Meyer", "Moreau", "Müller", "Murphy", "Nakamura", "Nguyen", "Nielsen", "Novák", "Nowak",
    "Okafor", "Olsen", "Ortega", "Owens", "Park", "Patel", "Petrov", "Pohl", "Quinn", "Ramos", "Reyes", "Richter",
    "Rossi", "Roy", "Santos", "Sato", "Schmidt", "Schulz", "Silva", "Singh", "Sokolov", "Suzuki", "Tanaka",
    "Thomsen", "Torres", "Vargas", "Vidal", "Wagner", "Walsh", "Weber", "Wójcik", "Wolff", "Yamada", "Zhang",
    "Zimmermann",
)
_TRADES = (
    "Bakery", "Bistro", "Books", "Café", "Catering", "Deli", "Electrics", "Engineering", "Fine Foods", "Flooring",
    "Florist", "Garage", "Garden Centre", "Hardware", "Hotel", "Interiors", "Joinery", "Kitchens", "Market",
    "Metalworks", "Optics", "Pharmacy", "Roofing", "Sports", "Supplies", "Tools", "Trading", "Winery",
)
# fmt: on

# Prime and longer than every list, so that steps of this size visit each combination of two or three lists once.
_STRIDE = 5003


def _ascii(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.replace("ø", "o").replace("Ø", "O"))
    return folded.encode("ascii", "ignore").decode()


def company_names(rng: np.random.Generator, size: int) -> list[str]:
    """Names of companies, different up to about 12,000."""
    total = len(_PLACES) * len(_ENDINGS) * len(_LEGAL_FORMS)
    names = []
    for number in ((rng.integers(total) + np.arange(size) * _STRIDE) % total).tolist():
        rest, place = divmod(number, len(_PLACES))
        form, ending = divmod(rest, len(_ENDINGS))
        names.append(f"{_PLACES[place]}{_ENDINGS[ending]} {_LEGAL_FORMS[form]}")
    return names


def slugs(names: list[str]) -> list[str]:
    """The names in lower-case ASCII letters and single hyphens."""
    return ["-".join("".join(c if c.isalnum() else " " for c in _ascii(name).lower()).split()) for name in names]


def person_names(start: IntArray, ordinal: IntArray) -> tuple[pa.Array, pa.Array]:
    """Full names and the local parts of their mail addresses; about 7,800 ordinals of a start differ."""
    combination = (start + ordinal * _STRIDE) % (len(_FIRST_NAMES) * len(_LAST_NAMES))
    last, first = np.divmod(combination, len(_FIRST_NAMES))
    full = pc.binary_join_element_wise(words(_FIRST_NAMES, first), words(_LAST_NAMES, last), " ")
    local_parts = [[_ascii(name).lower() for name in names] for names in (_FIRST_NAMES, _LAST_NAMES)]
    return full, pc.binary_join_element_wise(words(local_parts[0], first), words(local_parts[1], last), ".")


def buyer_names(rng: np.random.Generator, size: int) -> pa.Array:
    """Names of shops and workshops that buy from a tenant; they may repeat."""
    owner, trade = rng.integers(len(_LAST_NAMES), size=size), rng.integers(len(_TRADES), size=size)
    return pc.binary_join_element_wise(words(_LAST_NAMES, owner), words(_TRADES, trade), " ")
