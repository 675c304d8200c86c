"""`warptheory list`: what there is."""

EXAMPLES = "Example:  warptheory list"


def command() -> None:
    """List everything that is found by looking into a folder: results, kernels, analyses, commands and so on."""
    from rich.table import Table

    from warptheory import kernels, networks, operators, results
    from warptheory.cli._console import console
    from warptheory.core.catalogue import Catalogue
    from warptheory.fields import covariance, laws
    from warptheory.paper import analyses, benchmarks, figures
    from warptheory.training import data
    from warptheory.warping import boundaries

    table = Table(box=None, pad_edge=False)
    for heading in ("result", "title", "quantities"):
        table.add_column(heading)
    for label in results.labels():
        result = results.get(label)
        table.add_row(label, result.title, ", ".join(quantity.name for quantity in result.quantities))
    console.print(table)
    console.print()
    catalogues = {
        "kernels": kernels.names(),
        "laws": laws.names(),
        "covariances": covariance.names(),
        "boundary rules": boundaries.names(),
        "operators": operators.__all__,
        "networks": networks.names(),
        "data sets": data.names(),
        "analyses": analyses.names(),
        "figures": figures.names(),
        "benchmarks": benchmarks.names(),
        "commands": Catalogue("warptheory.cli.commands").names(),
    }
    for heading, names in catalogues.items():
        console.print(f"{heading}: {', '.join(names)}", soft_wrap=True)
