"""The published regular grammars, as facts: which letter may follow which.

Each line gives a letter, numbered where it occurs more than once, and what may follow it; ">" is
the start and "#" the end of the string. This is how Schiff & Katan (2014) count a grammar's
states. The transitions of their ten grammars follow the encoding of SymSeq (symseqbench/SymSeq,
presets, MIT licence; arXiv 2512.24977), typed anew.
"""

from collections.abc import Mapping
from typing import NamedTuple

from neurodyn.stimuli.automata import Automaton

ALAMIA = (
    "Alamia, Gauducheau, Paisios & VanRullen (2020), Sci. Rep. 10, 22172, "
    "doi 10.1038/s41598-020-79127-y, arXiv 1902.04861"
)
TEN = (
    "Schiff & Katan (2014), Front. Psychol. 5, 1084, doi 10.3389/fpsyg.2014.01084, as encoded by "
    "SymSeq, arXiv 2512.24977"
)


class Published(NamedTuple):
    """A published automaton: its table, the lengths of its strings, where it comes from."""

    table: str
    lengths: tuple[int, ...] | None
    provenance: str
    references: str


A = """
>  X1 V1
X1 X1 V1
V1 J1 T1 X2
J1 T2 #
T2 X1 V1
T1 V2 #
V2 J2 #
X2 J2 #
J2 J2 #
"""

# MXRVXT, often quoted for this family of grammars, is not accepted: the encoding may differ from
# the figure of the primary paper.
B = """
>  M1 V1
M1 V2 X1
V1 M2 X2
V2 R1 X3
X1 R2 R3 T1
M2 R2 R3 T1
X2 V4 T2
R1 V3 M3
X3 R2 R3 T1
V4 R2 R3 T1
T2 X4 R4
X4 #
R4 R4 X4 #
V3 V3 M3 #
M3 #
R3 V3 M3 #
T1 R4 #
T3 T3 M4 V5
V5 X2 M2
M4 V2 X1
R2 V5 M4 T3
"""

REBER_1969 = """
>  M1 V2
M1 T1 V1
T1 T1 V1
V1 T2 R1 #
T2 #
R1 X1 X2
V2 X1 X2
X1 T1 V1
X2 R2 M2 #
R2 R2 M2 #
M2 #
"""

MATHEWS_1989 = """
>  W1 N1
W1 W2 S2 S1
S1 S2
S2 W2
W2 S3 P3
N1 N2 P2
P1 P2 N1
P2 N2
S3 P1 P2 N2
N2 P3 Z1
P3 S3 Z1
Z1 #
"""

REBER_1967 = """
>  T1 V1
T1 P1 T2
P1 P1 T2
T2 S1 X2
S1 #
X2 X1 V2
V1 X1 V2
X1 X1 V2
V2 P2 S2
P2 X2 S1
S2 #
"""

SKOSNIK_2002 = """
>  P1 X1
P1 H1 J1
H1 J2 P2
X1 V1 T1
J1 T1 V1
V1 T2 H2
T1 X2 V2
T2 H1 J1
P2 T2 H2
H2 X2 V2
X2 J2 P2
V2 #
J2 #
"""

MEULEMANS_1997 = """
>  F1 D1
F1 D2
D2 Q1 M1
D1 J1 H1
J1 D2
H1 Q1 M1
Q1 F2 H2
F2 F2 H2
H2 F3 H3
M1 J2 Q2
H3 Q2 J2
Q2 Q2 J2
J2 M2 J3
F3 #
M2 F3 H3
J3 #
"""

# Eleven letter states: the encoding has a twelfth, X(3), without any arc.
SXK = """
>  S1 K1
S1 S2 X1
S2 K2 X2
X1 S3 K3
K1 X1 S2
K2 K4 S3
X2 K4 S3
S3 K4 S4
K3 S4 K4
K4 K5 S4
S4 #
K5 #
"""

RQ = """
>  R1 Q1
R1 R2 Q1
Q1 R2 Q2
R2 R3 Q2
Q2 R4 Q3
R3 R4 Q3
R4 R5 Q3
R5 #
Q3 #
"""

LNP = """
>  L1 P1
L1 L2 N1
N1 L2 P2
P1 N1 L2
L2 N2 P2
N2 L3 P3
P2 N2 L3
L3 L4 P3
P3 N3 P4
L4 #
N3 #
P4 #
"""

REBER = """
>  T1 P1
T1 S1 X1
S1 S1 X1
X1 X2 S2
X2 T2 V1
P1 T2 V1
T2 T2 V1
V1 P2 V2
P2 X2 S2
S2 #
V2 #
"""


def embedded(table: str) -> str:
    """Return Reber's grammar between B and E, twice: after B T before T E, after B P before P E."""
    first, *rest = table.split("\n>", 1)[1].strip().splitlines()
    lines = ["> B0", "B0 T0 P0"]
    for branch, place in (("T", "1"), ("P", "2")):
        rename = {"#": f"E{place}"}
        lines += [f"{branch}0 B{place}"]
        lines += [
            " ".join(rename.get(word, word + place) for word in line.split())
            for line in (f"B {first}", *rest)
        ]
        lines += [f"E{place} {branch}3{place}", f"{branch}3{place} E3"]
    return "\n".join([*lines, "E3 #"])


PUBLISHED: Mapping[str, Published] = {
    "A": Published(
        A, tuple(range(2, 13)), "reconstruction",
        f"{ALAMIA}: grammar A; automaton of Knowlton & Squire (1996), J. Exp. Psychol. Learn. Mem. "
        f"Cogn. 22, 169-181. {TEN}",
    ),
    "B": Published(
        B, tuple(range(3, 13)), "reconstruction",
        f"{ALAMIA}: grammar B; the automaton with the letters M R T V X and no string under three "
        f"letters (Vokey & Brooks type). {TEN}",
    ),
    "reber-1969": Published(
        REBER_1969, None, "reconstruction", f"Reber (1969), J. Exp. Psychol. 81, 115-119. {TEN}"
    ),
    "mathews-1989": Published(
        MATHEWS_1989, None, "reconstruction",
        "Mathews, Buss, Stanley, Blanchard-Fields, Cho & Druhan (1989), J. Exp. Psychol. Learn. "
        f"Mem. Cogn. 15, 1083-1100. {TEN}",
    ),
    "reber-1967": Published(
        REBER_1967, None, "reconstruction",
        f"Reber (1967), J. Verbal Learn. Verbal Behav. 6, 855-863, with other letters. {TEN}",
    ),
    "skosnik-2002": Published(
        SKOSNIK_2002, None, "reconstruction", f"Skosnik et al. (2002), NeuroImage 17, 1306. {TEN}"
    ),
    "meulemans-1997": Published(
        MEULEMANS_1997, None, "reconstruction",
        "Meulemans & Van der Linden (1997), J. Exp. Psychol. Learn. Mem. Cogn. 23, 1007-1028. "
        f"{TEN}",
    ),
    "SXK": Published(
        SXK, None, "reconstruction", f"{TEN}, where it is ascribed to Reber & Allen (1978)"
    ),
    "RQ": Published(
        RQ, None, "reconstruction",
        f"{TEN}, where it is ascribed to Brooks & Vokey (1991), who used other letters",
    ),
    "LNP": Published(LNP, None, "reconstruction", f"Witt & Vinter (2011). {TEN}"),
    "reber": Published(
        REBER, tuple(range(3, 9)), "paper",
        "Reber (1967), J. Verbal Learn. Verbal Behav. 6, 855-863",
    ),
    "embedded-reber": Published(
        embedded(REBER), tuple(range(9, 15)), "paper",
        "Cleeremans, Servan-Schreiber & McClelland (1989), Neural Comput. 1, 372-381; Fahlman "
        "(1991), The recurrent cascade-correlation architecture, NIPS 3",
    ),
}  # fmt: skip

# The ten regular grammars of Schiff & Katan (2014), of which A and B are two.
TEN_REGULAR = (
    "reber-1969", "mathews-1989", "reber-1967", "skosnik-2002", "meulemans-1997", "B", "A", "SXK",
    "RQ", "LNP",
)  # fmt: skip


def from_table(table: str) -> Automaton:
    """Return the automaton of a table of letters and what may follow them."""
    rows = [line.split() for line in table.strip().splitlines()]
    arcs = {row[0]: [(name[0], name) for name in row[1:] if name != "#"] for row in rows}
    return Automaton(arcs, ">", [row[0] for row in rows if "#" in row])
