"""getResolvedOptions, with the names that Glue reserves."""

import argparse

RESERVED = ("JOB_RUN_ID", "JOB_ID", "TempDir")


def getResolvedOptions(args: list[str], options: list[str]) -> dict[str, str]:
    parser = argparse.ArgumentParser()
    for name in RESERVED:
        parser.add_argument(f"--{name}")
    for name in options:
        parser.add_argument(f"--{name}", required=True)  # a reserved name here is argparse's ArgumentError, as on Glue
    known, _ = parser.parse_known_args(args[1:])
    return {name: value for name, value in vars(known).items() if value is not None}
