"""Measure sseprog beside its contenders: ``python -m benchmarks [WORKLOAD ...]``."""

import argparse
import contextlib
import importlib.util
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace

from . import plot, report, results
from .contenders import CALLS, CONTENDERS
from .machine import Cannot, pinned
from .measure import ROOT, Figures, Run, call, running
from .workloads import FIGURES, WORKLOADS, Case, Side, Workload

PRINTED = {"brokers": ("benchmarks.brokers", "What do brokers cost?")}
"""Workloads that measure and print by themselves, by their modules."""

TITLES = {name: each.title for name, each in CONTENDERS.items()} | CALLS


def main() -> int:
    """Run what was asked for, print it, and keep it unless it was quick."""
    asked = _arguments()
    kept = results.load()
    begun = time.monotonic()
    for name in asked.workloads or [*WORKLOADS, *PRINTED]:
        started = time.monotonic()
        print(f"\n# {name}", flush=True)
        try:
            workload = _printed(name) if name in PRINTED else _measured(WORKLOADS[name](), asked)
        except Cannot as error:
            print(f"{name}: not measured: {error}", flush=True)
            continue
        workload |= {"date": results.today(), "seconds": round(time.monotonic() - started)}
        kept["workloads"][name] = workload
        print("\n".join(["", *report.tables(name, workload)]), flush=True)
        if not asked.quick:
            results.save(kept)
            (results.FOLDER / "results.md").write_text(report.document(kept))
            (results.FOLDER / "plot.svg").write_text(plot.drawn(kept))
            report.summarised(kept, ROOT / "docs/benchmarks.md")
    print(f"It took {time.monotonic() - begun:.0f} s.")
    return 0


def _arguments() -> argparse.Namespace:
    lines = [f"  {name:13} {make().question}" for name, make in WORKLOADS.items()]
    lines += [f"  {name:13} {question}" for name, (_, question) in PRINTED.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure sseprog beside its contenders, in turn, on the loopback.",
        epilog="workloads:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help="those to run; all, if none is given",
    )
    parser.add_argument("--rounds", type=int, default=3, help="A B A B ...: how often (3)")
    parser.add_argument(
        "--quick", action="store_true", help="one short round of each, which is not kept"
    )
    asked = parser.parse_args()
    for name in asked.workloads:
        if name not in {*WORKLOADS, *PRINTED}:
            parser.error(f"there is no workload {name}; --help lists them")
    if asked.rounds < 1:
        parser.error("--rounds is 1 at least")
    return asked


def _printed(name: str) -> results.Results:
    """Have a module of its own measure; keep the table that it prints."""
    module, question = PRINTED[name]
    if importlib.util.find_spec(module) is None:
        raise Cannot(f"there is no {module}")
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise Cannot(f"python -m {module} has failed")
    return {"question": question, "table": done.stdout}


def _measured(workload: Workload, asked: argparse.Namespace) -> results.Results:
    missing: dict[str, str] = {}
    cases = []
    for case in workload.cases:
        print(f"{case.title}", flush=True)
        measured = _rounds(case, workload, asked, missing)
        titles = {side.key: side.name or TITLES[side.contender] for side in case.sides}
        cases.append(results.of_case(case, titles, measured))
    return {"question": workload.question, "cases": cases, "missing": missing}


def _rounds(
    case: Case, workload: Workload, asked: argparse.Namespace, missing: dict[str, str]
) -> dict[str, list[Figures]]:
    """Measure the sides of a case in turn, round after round."""
    measured: dict[str, list[Figures]] = defaultdict(list)
    heads = {name: FIGURES[name][0] for name in workload.figures}
    up: dict[str, Run] = {}
    with contextlib.ExitStack() as stack:
        for number in range(1 if asked.quick else asked.rounds * case.turns):
            for side in case.sides:
                if number >= side.rounds or side.contender in missing:
                    continue
                keep = stack if case.turns > 1 and side.rounds > 1 else None
                try:
                    figures, said = _side(side, up, keep, quick=asked.quick)
                except Cannot as error:
                    missing[side.contender] = str(error)
                    print(f"  {TITLES[side.contender]}: not measured: {error}", flush=True)
                    continue
                measured[side.key].append(figures)
                shown = [
                    f"{head} {figures[name]:{FIGURES[name][1]}}" for name, head in heads.items()
                ]
                print(f"  {side.name or TITLES[side.contender]}: {'; '.join(shown)}", flush=True)
                if said:
                    print(f"    its log ends: {said[:200]}", flush=True)
    return measured


def _side(
    side: Side, up: dict[str, Run], keep: contextlib.ExitStack | None, *, quick: bool
) -> tuple[Figures, str]:
    """Measure a side once, on the server that is ``up``, or on one that is started for it."""
    if side.contender in CALLS:
        return call(side.contender, side.load), ""
    if side.key in up:
        return up[side.key].measure()
    contender = CONTENDERS[side.contender]
    contender.prepare()
    load = side.load
    if quick and load.rate:
        load = replace(load, seconds=min(load.seconds, 2.0))
    if keep is None:
        with running(contender, load) as run:
            return run.measure()
    up[side.key] = keep.enter_context(running(contender, load))
    return up[side.key].measure()


if __name__ == "__main__":
    # As Ctrl-C does: so that the servers, which are in groups of their own, are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        pinned(0)
        sys.exit(main())
    except Cannot as problem:
        sys.exit(f"benchmarks: {problem}")
