"""Section F: self-warp, offsets computed from the input.

A self-warp has two mechanisms of instability, and each is there without the other.

The first is the gradient through the offset head (F3, F4, F5). What a layer hands back to its input comes by two
paths: through the warp, and through the head that computed the offsets. The second adds α²dλ₂ to the energy of the
gradient for a head of unit filters, λ₂ the squared slope of the features, so that L layers multiply it by (1 + α²dλ₂)ᴸ
or more. It asks nothing of the map: the offsets may be so small, or held so still, that the forward pass is that of the
network without a warp.

The second is the folding and roughening of the map (F1, B7, C3). The offsets have slopes τ = α√λ₂; where one falls
below −1 the map t + ε(t) turns back on itself and gradients pile up at the turning points. Every layer multiplies λ₂ by
1 + dτ², hence τ too: features get rougher, and rougher features move by steeper offsets, until the grid ends it. It
asks nothing of the head's gradient, which may be cut off.

The same number drives both, α²dλ₂ = dτ², which is why they are seen together. The analysis `self_warp` takes them
apart in a stack of self-warps, by two switches: whether the offsets move the map, and whether their gradient is passed
on. With the map held still (ε − ε.detach()) the first acts alone: nothing folds or roughens, and the gradient grows by
F3's factor in every layer. With the gradient cut (ε.detach()) the second acts alone: slopes grow as C3 says until the
grid ends it, up to a quarter of the pixels fold, and the gradient grows by what piles up at folds, far less than by the
head's path. With both switches off nothing grows. With both on they are far worse than their product: the head's path
meets features that the map has roughened, and eight layers of slope 0.5 multiply the gradient's energy by about 2·10⁴,
where the head's path alone makes it thirty and the map alone four.
"""
