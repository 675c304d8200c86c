"""Section D: what a grid and a kernel make of the continuum."""
