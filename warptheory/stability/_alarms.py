"""What the monitor tells at once: statistics that are no longer finite, or that have grown by orders of magnitude.

The rule. Offsets, sampled values and gradients are told when one of their statistics is infinite or NaN. They are told
when a standard deviation is `GROWTH` times the median of the last `RECENT` records of the same operation, exact zeros
left out: what starts at zero, such as the gradients behind a last layer of zeros, may grow from the first record on.
Offsets, which a head of zeros lets grow as well, are told when their root mean square is over the longest side of what
they sample and ten times that median: hardly a sample is left inside. Each is told once for a layer.
"""

import math
import warnings
from collections import defaultdict, deque
from statistics import median

from warptheory.stability._layer_statistics import LayerRow
from warptheory.stability._sampling._call import SamplingCall

GROWTH = 1e3
RECENT = 50
_OFFSET_GROWTH = 10.0


class Alarms:
    """Warns of the statistics of rows, once for each kind and layer."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], str] = {}
        self._records: defaultdict[tuple[object, ...], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    @property
    def told(self) -> tuple[str, ...]:
        """What has been warned of, in order."""
        return tuple(self._told.values())

    def forward(self, row: LayerRow, call: SamplingCall, images: int | None) -> None:
        """Look at what the forward pass of an operation shows."""
        found = row.forward
        if call.raw[:images].numel():
            self._look_at_offsets(row, call, math.hypot(found.offset_mean, found.offset_deviation))
        for name, tensor in (("variance_in", call.x), ("variance_out", call.y)):
            if tensor is not None and tensor[:images].numel():
                self._look(row, "sampled values", name, getattr(found, name))

    def gradient(self, row: LayerRow, name: str, variance: float) -> None:
        """Look at the variance of a gradient, by the name of its column."""
        self._look(row, "gradients", name, variance)

    def _look_at_offsets(self, row: LayerRow, call: SamplingCall, size: float) -> None:
        """Look at the root mean square of the offsets."""
        if not math.isfinite(size):
            self._tell(row, "offsets not finite", f"offsets are not finite (root mean square {size})")
            return
        usual = self._usual(row, "offsets", size)
        sampled = max(call.offsets(1).shape[3:] if call.x is None else call.x.shape[2:])
        if usual is not None and size > max(sampled, _OFFSET_GROWTH * usual):
            grown = f"offsets have grown to {size:.3g} pixels, from a median of {usual:.3g}"
            self._tell(row, "offsets grown", f"{grown}; what they sample is {sampled} pixels long")

    def _look(self, row: LayerRow, kind: str, name: str, variance: float) -> None:
        if not math.isfinite(variance):
            self._tell(row, f"{kind} not finite", f"{kind} are not finite ({name} {variance})")
            return
        size = math.sqrt(variance)
        if size == 0:
            return
        usual = self._usual(row, name, size)
        if usual is not None and size > GROWTH * usual:
            grown = f"{kind} have grown: {name} {variance:.3g}"
            self._tell(row, f"{kind} grown", f"{grown}, whose root is {size / usual:.3g} times the median before")

    def _usual(self, row: LayerRow, name: str, size: float) -> float | None:
        """Return the median of the records before, None for the first one, and keep this one."""
        records = self._records[row.training, row.site.layer, row.site.call, name]
        usual = median(records) if records else None
        records.append(size)
        return usual

    def _tell(self, row: LayerRow, kind: str, text: str) -> None:
        layer = row.site.layer
        if (kind, layer) in self._told:
            return
        mode = "training" if row.training else "evaluation"
        where = f"in layer {layer!r}" if layer else "in the model itself"
        said = self._told[kind, layer] = f"{where}, at step {row.step} in {mode}: {text}"
        warnings.warn(said, stacklevel=2)
