"""All taps of a sampling pattern in one pass over the output: sampled, weighed and mixed block by block.

sampling    the engine: what it takes, layouts, cuts, launches
problem     what is sampled where, and how work is cut
loops       the passes over blocks of pixels, forward and backward
product     the product of small matrices that mixes a block's samples
"""
