"""How long tests wait for what should happen: until it does, however busy the machine is."""

# A process that has not ended after so many seconds counts as one that never will.
PATIENCE = 1800.0
