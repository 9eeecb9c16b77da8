"""The classes of the phone classifier, and what espeak-ng calls the phones in each."""

FRAME_SECONDS = 0.02  # one encoder frame: 2 spectrogram frames of 10 ms


# class: the espeak-ng mnemonics in it, stress marks (' , %) removed
_CLASSES: dict[str, str] = {
    "sil": "_ _: _! _| ?",
    "p": "p",
    "b": "b",
    "t": "t t2 t# t[ t:",
    "d": "d d[",
    "k": "k",
    "g": "g",
    "tS": "tS",
    "dZ": "dZ",
    "f": "f",
    "v": "v",
    "T": "T",
    "D": "D",
    "s": "s",
    "z": "z z#",
    "S": "S",
    "Z": "Z",
    "h": "h",
    "m": "m m-",
    "n": "n n-",
    "N": "N",
    "l": "l l^ @L",
    "r": "r r- r/ *",
    "w": "w w#",
    "j": "j ;",
    "i:": "i: i",
    "I": "I I2 I#",
    "E": "E E2",
    "a": "a aa & a2",
    "@": "@ @2 @5 @- a# I#2",
    "V": "V",
    "0": "0 0# O2 A:",
    "O:": "O:",
    "U": "U",
    "u:": "u: u",
    "3:": "3: 3 VR IR",
    "A@": "A@",
    "O@": "O@ o@",
    "e@": "e@",
    "i@": "i@ i@3",
    "U@": "U@",
    "eI": "eI",
    "aI": "aI aI2 aI@ aI3",
    "aU": "aU aU@",
    "OI": "OI",
    "oU": "oU",
}


PHONE_CLASSES: tuple[str, ...] = tuple(_CLASSES)


_CLASS_OF_NAME: dict[str, int] = {
    name: index for index, names in enumerate(_CLASSES.values()) for name in names.split()
}


def phone_class(name: str) -> int | None:
    """Index of the class of an espeak-ng phone; None for a name outside the inventory (its frames stay unlabelled)."""
    return _CLASS_OF_NAME.get(name.strip("',%="))
