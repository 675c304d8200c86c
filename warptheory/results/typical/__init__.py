"""Section K: the typical gradient of a stack against its mean.

Layers whose offsets are independent multiply the slope of a feature by independent factors, and so they do with the
gradient on its way back. Means of such products grow with the mean of a factor, but hardly any position has the mean:
the logarithm of a product is a sum, which grows with the mean of the logarithm (the Lyapunov exponent), and the mean
is carried by ever fewer positions. The law of a factor is known exactly for Gaussian slopes, so that everything here
is exact at any depth: exponents, spread, the share of positions that hold half of the energy.

Where a position is drawn matters. Forward, slopes are looked at where they come out, at a uniformly drawn output;
backward, gradients arrive at a uniformly drawn input, which is reached from outputs in proportion to |J|.
"""
