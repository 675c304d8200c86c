"""`warptheory list`: what there is."""

EXAMPLES = "Example:  warptheory list"


def command() -> None:
    """List the results, kernels, laws, networks and data sets."""
    from rich.table import Table

    from warptheory import kernels, networks, results
    from warptheory.cli._console import console
    from warptheory.fields import laws
    from warptheory.training import data

    table = Table(box=None, pad_edge=False)
    for heading in ("result", "title", "quantities"):
        table.add_column(heading)
    for label in results.labels():
        result = results.get(label)
        table.add_row(label, result.title, ", ".join(quantity.name for quantity in result.quantities))
    console.print(table)
    console.print(f"\nkernels: {', '.join(kernels.names())}")
    console.print(f"laws:    {', '.join(laws.names())}")
    console.print(f"networks: {', '.join(networks.names())}")
    console.print(f"data sets: {', '.join(data.names())}")
