"""Runs that start from the trained head of another run."""

from __future__ import annotations

from dataclasses import replace

from gta.study.chosen_methods import StudyMethods
from gta.study.run import Run


def head_run_of(run: Run, methods: StudyMethods) -> Run | None:
    """The unmixed run whose trained head a run starts from; None for a head of its own."""
    method = methods[run.method].init_head
    if method is None:
        return None
    point = methods.points(method)[0]
    return replace(run, method=method, mix="none", lam=point.lam, tuned=point.tuned)


def head_fault(name: str, methods: StudyMethods) -> str | None:
    """Reason why no run gives a method's first head; None if one does or none is needed."""
    method = methods[name].init_head
    if method is None:
        return None
    if method not in methods:
        return f"starts from the head of {method}, and there is no such method"
    if methods[method].init_head is not None:
        return f"starts from the head of {method}, which starts from a head itself"
    if len(methods.points(method)) > 1:
        what = f"starts from the head of {method}, which is tried at several values"
        return f"{what}; give methods.{method} one value of each"
    return None
