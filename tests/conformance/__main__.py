"""`make conformance`: every operator test of the ONNX project through a real server.

Each goes as binary data, as JSON where that is exact, and over gRPC.

Prints what did not come out as the reference says, then counts. Exits 1 where the server is to blame.
"""

import collections
import sys
import tempfile
import warnings
from pathlib import Path

from tests.conformance.operator_cases import Outcome, Sweep, Verdict, load_cases
from tests.unit.runtime.server_thread import ServerThread


def main() -> int:
    """Run the sweep; arguments are parts of names, none means all cases."""
    warnings.simplefilter("ignore")
    cases = [
        case for case in load_cases() if not sys.argv[1:] or any(part in case.name for part in sys.argv[1:])
    ]
    with (
        tempfile.TemporaryDirectory() as directory,
        ServerThread({}) as server,
        Sweep(server, Path(directory)) as sweep,
    ):
        verdicts = {case.name: sweep.check(case) for case in cases}
    for name, verdict in sorted(verdicts.items(), key=lambda item: (item[1].outcome, item[0])):
        if verdict.outcome is not Outcome.SAME:
            print(f"{verdict.outcome.name:<15} {name}: {verdict.detail}")
    _print_counts(list(verdicts.values()))
    return int(any(verdict.outcome is Outcome.FAILED for verdict in verdicts.values()))


def _print_counts(verdicts: list[Verdict]) -> None:
    carried = [verdict for verdict in verdicts if verdict.datatypes]
    datatypes = collections.Counter(name for verdict in carried for name in verdict.datatypes)
    outcomes = collections.Counter(verdict.outcome for verdict in verdicts)
    print()
    for outcome in Outcome:
        print(f"{outcomes[outcome]:>6}  {outcome}")
    print(f"{sum(verdict.sent_as_json for verdict in carried):>6}  of them sent as JSON too")
    print("cases by datatype:", ", ".join(f"{name} {count}" for name, count in sorted(datatypes.items())))


if __name__ == "__main__":
    sys.exit(main())
