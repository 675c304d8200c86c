"""Write how often each condition of a diagnosis was right into the package, from the committed record.

Run it after `stability_diagnosed` was committed anew.
"""

from warptheory.core import records
from warptheory.paper.analyses import stability_diagnosed
from warptheory.paper.committed import committed_record
from warptheory.stability import error_rates


def main() -> None:
    """Write the counts."""
    table = records.read_table(committed_record(stability_diagnosed.RECORD))
    records.write_json(error_rates.PATH, stability_diagnosed.error_rates(table))


if __name__ == "__main__":
    main()
