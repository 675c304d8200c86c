"""Section E: warps as a class of orthogonal operators of their own."""
