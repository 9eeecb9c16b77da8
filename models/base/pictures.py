"""How words are to be drawn: as they are. A text may hold any sign, and matplotlib takes some of them for mathematics or TeX."""

PLAIN_TEXT = {"text.parse_math": False, "text.usetex": False}  # matplotlib's settings; around drawing and saving
