"""The arcs of an automaton, from a dictionary or a graph."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from neurodyn.stimuli.abstract_grammar import checked_token

State = Hashable
Arc = tuple[str, State]


def read_arcs(transitions: Any) -> dict[State, tuple[Arc, ...]]:
    """Return the arcs of each state from a mapping or a directed graph."""
    arcs: dict[State, list[Arc]] = {}
    if isinstance(transitions, Mapping):
        arcs = {state: [] for state in transitions}
    for source, letter, target in listed(transitions):
        arcs.setdefault(source, []).append((checked_token(letter), target))
    for target in [q for leaving in arcs.values() for _, q in leaving]:
        arcs.setdefault(target, [])
    if not arcs:
        raise ValueError("transitions are empty: give {state: {letter: target}}")
    return {state: tuple(leaving) for state, leaving in arcs.items()}


def listed(transitions: Any) -> Iterator[tuple[State, Any, State]]:
    """Yield (state, letter, target) of each arc."""
    if hasattr(transitions, "edges") and hasattr(transitions, "is_directed"):
        if not transitions.is_directed():
            raise ValueError("a graph must be directed: give a DiGraph or MultiDiGraph")
        for source, target, data in transitions.edges(data=True):
            if "letter" not in data:
                raise ValueError(
                    f"the edge from {source!r} to {target!r} has no attribute 'letter', only "
                    f"{list(data)}"
                )
            yield source, data["letter"], target
        return
    if not isinstance(transitions, Mapping):
        raise TypeError(
            "transitions must be {state: {letter: target}} or a directed graph of networkx, got "
            f"{type(transitions).__name__}"
        )
    for source, leaving in transitions.items():
        if isinstance(leaving, Mapping):
            for letter, targets in leaving.items():
                several = targets if isinstance(targets, list) else [targets]
                if isinstance(targets, set | frozenset):
                    several = sorted(targets, key=repr)
                for target in several:
                    yield source, letter, checked_state(target, f"an arc of {source!r}")
            continue
        if isinstance(leaving, str) or not isinstance(leaving, Sequence):
            raise ValueError(
                f"the arcs of state {source!r} must be {{letter: target}} or a list of "
                f"(letter, target), got {leaving!r}"
            )
        for arc in leaving:
            if isinstance(arc, str) or not isinstance(arc, Sequence) or len(arc) != 2:
                raise ValueError(
                    f"an arc of state {source!r} must be (letter, target), got {arc!r}"
                )
            yield source, arc[0], checked_state(arc[1], f"an arc of {source!r}")


def checked_state(state: Any, where: str) -> State:
    """Return a state, refuse what cannot be one."""
    try:
        hash(state)
    except TypeError:
        raise ValueError(
            f"{where}: {state!r} is no state; a state is a number, a text or a tuple of such"
        ) from None
    return state
