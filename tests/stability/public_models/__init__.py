"""Public models that sample dynamically, rebuilt small in plain torch: as their authors released them, no word of ours.

A module for each: `build()` with the released initialisation; `optimizer(model)` with the released groups;
`loss(output, target)`; `batches(count, seed)`; and what is known of the code by hand: `OFFSET_ONLY`, the names of
parameters that reach the loss only through sampling positions, and `SAMPLING`, the names of the modules that sample.
Faults to be planted: `WILD`, heads with the standard deviation that throws samples about; `FAULT`, a parameter whose
being NaN makes the positions of the last of `SAMPLING` NaN. Widths and sizes are smaller than the released ones, and
the data are made up.
"""
