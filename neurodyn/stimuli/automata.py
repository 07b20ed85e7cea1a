"""Finite automata: what they accept, how many strings, random walks, complexity."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from neurodyn.stimuli.arcs import Arc, State, checked_state, read_arcs


class Automaton:
    r"""A finite automaton with letters on its arcs; it need not be deterministic.

    A string is accepted if some path from the start to an accepting state reads it. A random walk
    leaves each state along one of its arcs, all equally likely; an accepting state has one arc
    more, "out", where the string ends.

    Parameters
    ----------
    transitions : mapping, or a directed graph of networkx
        ``{state: {letter: target}}``, where a list or set of targets makes it non-deterministic;
        or ``{state: [(letter, target), ...]}``; or a DiGraph or MultiDiGraph whose edges carry an
        attribute "letter".
    start : hashable
        The start state.
    accept : iterable of states
        Where a string may end.

    Attributes
    ----------
    arcs : dict
        ``{state: ((letter, target), ...)}`` for every state.
    alphabet : tuple of str
        The letters, in the order they are first met.

    Raises
    ------
    ValueError
        If a state is unknown, cannot be reached, or is a dead end; if an arc is there twice.

    Examples
    --------
    >>> machine = Automaton({0: {"a": 0, "b": 1}, 1: {"c": 0}}, start=0, accept=[1])
    >>> machine.accepts("aab"), machine.accepts("abc"), machine.count(3)
    (True, False, 2)
    """

    def __init__(
        self,
        transitions: Mapping[State, Mapping[str, Any] | Sequence[Arc]] | Any,
        start: State,
        accept: Iterable[State],
    ) -> None:
        self.arcs = read_arcs(transitions)
        self.start = checked_state(start, "start")
        self.accept = frozenset(checked_state(state, "accept") for state in accept)
        self.check()
        self.alphabet = tuple(
            dict.fromkeys(letter for state in self.order for letter, _ in self.arcs[state])
        )

    def __repr__(self) -> str:
        arcs = sum(map(len, self.arcs.values()))
        return f"Automaton({len(self.arcs)} states, {arcs} arcs, letters {self.alphabet})"

    def check(self) -> None:
        """Refuse what is no automaton in which every walk can end."""
        for name, states in (("start", [self.start]), ("accept", self.accept)):
            unknown = [state for state in states if state not in self.arcs]
            if unknown or not states:
                raise ValueError(
                    f"{name} must be among the states {list(self.arcs)}, got {unknown}"
                )
        for state, arcs in self.arcs.items():
            if len(set(arcs)) < len(arcs):
                raise ValueError(f"state {state!r} has an arc twice: {list(arcs)}")
        unreached = [state for state in self.arcs if state not in set(self.order)]
        if unreached:
            raise ValueError(f"states {unreached} cannot be reached from the start: leave them out")
        ends = {state: {q for _, q in arcs} for state, arcs in self.arcs.items()}
        alive = set(self.accept)
        while more := {s for s in ends if s not in alive and ends[s] & alive}:
            alive |= more
        dead = [state for state in self.arcs if state not in alive]
        if dead:
            raise ValueError(f"states {dead} lead to no accepting state: leave them out")

    @cached_property
    def order(self) -> tuple[State, ...]:
        """The states that can be reached, nearest to the start first."""
        found, queue = {self.start: None}, deque([self.start])
        while queue:
            for _, target in self.arcs[queue.popleft()]:
                if target not in found:
                    found[target] = None
                    queue.append(target)
        return tuple(found)

    @cached_property
    def deterministic(self) -> tuple[list[dict[str, int]], list[bool]]:
        """The deterministic automaton of the same language, by subset construction.

        For each of its states, of which 0 is the start: ``{letter: target}``, and whether it
        accepts.
        """
        numbers = {frozenset([self.start]): 0}
        rows: list[dict[str, int]] = []
        queue = deque(numbers)
        while queue:
            targets: dict[str, set[State]] = {}
            for state in queue.popleft():
                for letter, target in self.arcs[state]:
                    targets.setdefault(letter, set()).add(target)
            rows.append({})
            for letter in sorted(targets):
                subset = frozenset(targets[letter])
                if subset not in numbers:
                    numbers[subset] = len(numbers)
                    queue.append(subset)
                rows[-1][letter] = numbers[subset]
        return rows, [bool(subset & self.accept) for subset in numbers]

    def accepts(self, tokens: Sequence[str]) -> bool:
        """Return whether a path to an accepting state reads the tokens."""
        rows, final = self.deterministic
        state = 0
        for token in tokens:
            if token not in rows[state]:
                return False
            state = rows[state][token]
        return final[state]

    def count(self, length: int) -> int:
        r"""Return the number of different strings of one length.

        .. math:: N_n = e_0^\top D^n f

        with D the numbers of letters between the states of the deterministic automaton, so that a
        string that several paths read counts once.
        """
        rows, final = self.deterministic
        reached = {0: 1}
        for _ in range(length):
            onward: dict[int, int] = {}
            for state, ways in reached.items():
                for target in rows[state].values():
                    onward[target] = onward.get(target, 0) + ways
            reached = onward
        return sum(ways for state, ways in reached.items() if final[state])

    def walk(self, rng: np.random.Generator, longest: int) -> tuple[str, ...] | None:
        """Walk from the start to "out"; None if that takes more than `longest` letters."""
        state = self.start
        letters: list[str] = []
        while True:
            arcs = self.arcs[state]
            pick = int(rng.random() * (len(arcs) + (state in self.accept)))
            if pick == len(arcs):
                return tuple(letters)
            if len(letters) == longest:
                return None
            letter, state = arcs[pick]
            letters.append(letter)

    @cached_property
    def shortest(self) -> int:
        """The length of the shortest string."""
        length = 0
        while not self.count(length):
            length += 1
        return length

    @cached_property
    def longest(self) -> float:
        """The length of the longest string, infinity if there is none."""
        within = len(self.deterministic[0])
        if any(self.count(length) for length in range(within, 2 * within)):
            return math.inf
        return max(length for length in range(within) if self.count(length))

    def entropy(self, restart: bool = False) -> float:
        r"""Return the topological entropy, in nats per letter.

        .. math:: h = \lim_{n \to \infty} \frac{1}{n} \ln N_n = \ln \rho(D)

        the logarithm of the largest eigenvalue of D, the numbers of letters between the states of
        the deterministic automaton: how fast the number of strings grows with their length. A
        language whose strings do not multiply with length, finite ones included, has 0.

        Parameters
        ----------
        restart : bool
            Strings follow each other for ever, an end mark between them: D has one arc more from
            each accepting state to the start. Finite languages then differ as well.

        References
        ----------
        Bollt & Jones (2000), The complexity of artificial grammars, Nonlinear Dynamics,
        Psychology, and Life Sciences 4, 153-168. Schiff & Katan (2014), Front. Psychol. 5, 1084.
        """
        rows, final = self.deterministic
        if not restart and not multiplies(rows):
            return 0.0  # exactly: eigenvalues 0 and 1 of such a matrix are found inexactly
        matrix = np.zeros((len(rows), len(rows)))
        for state, row in enumerate(rows):
            for target in row.values():
                matrix[state, target] += 1
            matrix[state, 0] += restart and final[state]
        return math.log(max(1.0, float(np.abs(np.linalg.eigvals(matrix)).max())))

    @cached_property
    def letter_states(self) -> tuple[Arc, ...]:
        """The letters, told apart by the state they lead to."""
        return tuple(dict.fromkeys(arc for state in self.order for arc in self.arcs[state]))

    def complexity(self) -> dict[str, float]:
        """Return measures of complexity.

        Returns
        -------
        dict
            ``letters``; ``states``, the letters told apart by the state they lead to, and
            ``transitions``, the pairs of those that may follow each other (the nodes and arcs of
            a grammar's graph as Schiff & Katan count them); ``bigrams``, the pairs of letters that
            may follow each other; ``shortest``, the length of the shortest string;
            ``topological_entropy`` and ``topological_entropy_restart`` (nats per letter), see
            `entropy`.
        """
        follow = [
            ((letter, state), onward)
            for letter, state in self.letter_states
            for onward in self.arcs[state]
        ]
        return {
            "letters": float(len(self.alphabet)),
            "states": float(len(self.letter_states)),
            "transitions": float(len(follow)),
            "bigrams": float(len({(one[0], two[0]) for one, two in follow})),
            "shortest": float(self.shortest),
            "topological_entropy": self.entropy(),
            "topological_entropy_restart": self.entropy(restart=True),
        }

    def merged(self) -> "Automaton":
        """Return the same with states joined that no random walk can tell apart.

        Its states are 0, 1, 2, ..., nearest to the start first.
        """
        group = {state: int(state in self.accept) for state in self.order}
        while True:
            marks = {
                s: (group[s], tuple(sorted((a, group[q]) for a, q in self.arcs[s])))
                for s in self.order
            }
            numbers: dict[Any, int] = {}
            finer = {s: numbers.setdefault(marks[s], len(numbers)) for s in self.order}
            if len(numbers) == len(set(group.values())):
                break
            group = finer
        first = {group[s]: s for s in reversed(self.order)}
        arcs = {g: [(a, group[q]) for a, q in self.arcs[s]] for g, s in first.items()}
        accept = {group[s] for s in self.accept}
        joined = Automaton(arcs, group[self.start], accept)
        named = {state: number for number, state in enumerate(joined.order)}
        return Automaton(
            {named[s]: [(a, named[q]) for a, q in joined.arcs[s]] for s in joined.order},
            0,
            {named[s] for s in joined.accept},
        )


def multiplies(rows: list[dict[str, int]]) -> bool:
    """Return whether strings multiply with length: some state lies on two different cycles."""
    reach = [set(row.values()) for row in rows]
    for _ in range(len(rows).bit_length()):
        reach = [seen.union(*(reach[target] for target in seen)) for seen in reach]
    return any(
        sum(state == target or state in reach[target] for target in row.values()) > 1
        for state, row in enumerate(rows)
    )
