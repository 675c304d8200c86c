"""Cases that fail, crash and pass, for the test of the driver."""

import os


def kind_of(seed, number):
    return "even" if number % 2 == 0 else "odd"


def run_case(seed, number):
    if number == 3:
        os.abort()
    if number == 5 and "FUZZ_IS_MENDED" not in os.environ:
        raise ValueError("the fifth")
