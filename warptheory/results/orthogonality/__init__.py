"""Section E: warps as a class of orthogonal operators of their own.

A convolution mixes frequencies with nothing and places with each other; it keeps the energy of every signal where its
transfer function has the size 1. A warp moves places and mixes frequencies; with the weight √|J| it keeps the energy of
every signal, whatever its map (E3). The two families of unitary operators have nothing in common but the translations:
a warp that commutes with shifts has constant offsets (E2), and the part of a warp that a convolution can do falls as
one over the spread of the offsets along each axis (E1).

Without the weight a warp is an isometry only where its map keeps volumes, and its singular values are |J|^(−1/2) (E4):
the slopes of the offsets, not their size, say how far it is from one. On a grid two things are lost besides:
interpolation takes its share, a layer at a time (E5), and scattered offsets forget dimensions for good (E4).
"""
