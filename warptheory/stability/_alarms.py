"""What the monitor tells at once: statistics that are no longer finite, or that have grown by orders of magnitude.

The rule. Offsets, sampled values and gradients are told when one of their statistics is infinite or NaN. They are told
when a standard deviation is `GROWTH` times the median of the last `RECENT` records of the same operation, exact zeros
left out: what starts at zero, such as the gradients behind a last layer of zeros, may grow from the first record on.
Offsets, which a head of zeros lets grow as well, are told when their root mean square is over the longest side of what
they sample and ten times that median.

Samples are told when hardly one is left on the image, except where the boundary rule repeats it. Inputs are told when
no sample reads most of them, although the grid alone, without offsets, would read most. Both are told from the first
record on: a model that never was otherwise does not train either. Each is told once for a layer.

A loss that is not finite is told with what was told before it, or else with the layer whose offsets have grown most.
"""

import math
import warnings
from collections import defaultdict, deque
from statistics import median

from warptheory.patterns import dead_fraction
from warptheory.stability._layer_statistics import LayerRow, operation_name
from warptheory.stability._sampling._call import SamplingCall

GROWTH = 1e3
RECENT = 50
OUTSIDE = 0.9
DEAD = 0.5
_OFFSET_GROWTH = 10.0
_GROWN = 2.0  # times the median before, to be named beside a loss
_NAMED = 3


class Alarms:
    """Warns of the statistics of rows, once for each kind and layer."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], str] = {}
        self._records: defaultdict[tuple[bool, str, int, str], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    @property
    def told(self) -> tuple[str, ...]:
        """What has been warned of, in order."""
        return tuple(self._told.values())

    def forward(self, row: LayerRow, call: SamplingCall, images: int | None) -> None:
        """Look at what the forward pass of an operation shows."""
        found = row.forward
        if call.raw[:images].numel():
            self._look_at_offsets(row, call, math.hypot(found.offset_mean, found.offset_deviation))
            self._look_at_samples(row, call)
        for name, tensor in (("variance_in", call.x), ("variance_out", call.y)):
            if tensor is not None and tensor[:images].numel():
                self._look(row, "sampled values", name, getattr(found, name))

    def gradient(self, row: LayerRow, name: str, variance: float) -> None:
        """Look at the variance of a gradient, by the name of its column."""
        self._look(row, "gradients", name, variance)

    def loss(self, name: str, value: float, step: int) -> None:
        """Look at a loss, of which nothing is told while it is finite."""
        if math.isfinite(value):
            return
        before = list(self.told)
        if before:
            more = f" (and {len(before) - _NAMED} more)" if len(before) > _NAMED else ""
            cause = f"before it: {'; '.join(before[:_NAMED])}{more}"
        else:
            cause = self._growth()
        self._say((f"{name} not finite", ""), f"{name} is {value} at step {step}; {cause}")

    def _growth(self) -> str:
        """Return which offsets have grown most, in training, and how much."""
        grown: dict[float, str] = {}
        for (training, layer, call, name), records in self._records.items():
            if not training or name != "offsets" or len(records) < 2:
                continue
            usual = median(list(records)[:-1])
            if records[-1] > _GROWN * usual:
                size = f"{records[-1]:.3g} pixels at the last record, from a median of {usual:.3g}"
                ratio = records[-1] / usual if usual else math.inf
                grown[ratio] = f"offsets of layer {operation_name(layer, call)!r} had grown to {size}"
        return grown[max(grown)] if grown else "no offsets had grown at the last record"

    def _look_at_samples(self, row: LayerRow, call: SamplingCall) -> None:
        """Look at how many samples are on the image, and how many inputs they read."""
        outside, dead = row.forward.outside_fraction, row.forward.dead_fraction
        if outside > OUTSIDE and call.boundary != "periodic" and math.isfinite(row.forward.offset_mean):
            self._tell(row, "samples outside", f"hardly a sample is on the image: a share of {outside:.3g} lies off it")
        kind = "inputs dead"
        if dead > DEAD and not call.lattice.is_free and not self._is_told(row, kind):
            still = float(dead_fraction(call.pattern(1).still()))
            if still <= DEAD:
                text = f"no sample reads a share of {dead:.3g} of the inputs; without offsets it would be {still:.3g}"
                self._tell(row, kind, text)

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
        mode = "training" if row.training else "evaluation"
        where = f"in layer {layer!r}" if layer else "in the model itself"
        self._say((kind, layer), f"{where}, at step {row.step} in {mode}: {text}")

    def _is_told(self, row: LayerRow, kind: str) -> bool:
        return (kind, row.site.layer) in self._told

    def _say(self, key: tuple[str, str], text: str) -> None:
        if key not in self._told:
            self._told[key] = text
            warnings.warn(text, stacklevel=2)
