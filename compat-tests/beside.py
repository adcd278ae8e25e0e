"""The command line of scripts that ask tributary and a Prometheus the same, and what they say at the end."""

import argparse
import sys


def main(what, compare, add_arguments=lambda parser: None):
    """Runs `compare`, which takes the arguments and returns how many questions there were and what differs; ends the process
    with 1 where anything does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tributary", required=True)
    parser.add_argument("--prometheus", required=True)
    add_arguments(parser)
    count, failures = compare(parser.parse_args())
    for failure in failures:
        print("DIFFERS", failure)
    print(f"{what}: {count - len(failures)} alike, {len(failures)} different")
    sys.exit(1 if failures else 0)
