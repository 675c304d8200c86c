"""The code of written pages: cells that run in order, the last of which asserts what the page says."""

import ast
import re

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^:[\w-]+:.*$", re.MULTILINE)


def cells_of(text):
    """Return the code of each cell of a page, without its options."""
    return [OPTION.sub("", code) for code in CELL.findall(text)]


def states_its_answer(cells):
    """Whether the last cell asserts something that is not known without the cells before it."""
    asserted = [node.test for node in ast.walk(ast.parse(cells[-1])) if isinstance(node, ast.Assert)] if cells else []
    return any(isinstance(node, ast.Name) for test in asserted for node in ast.walk(test))


def run_cells(cells, page):
    """Run the cells of a page in one namespace, in order."""
    namespace = {"__name__": "__main__"}
    for number, code in enumerate(cells, start=1):
        exec(compile(code, f"{page}, cell {number}", "exec"), namespace)
    return namespace
