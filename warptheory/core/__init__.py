"""Records, random streams, catalogues, tolerances and errors; knows no mathematics of the project."""
