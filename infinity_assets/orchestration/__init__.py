"""What the stages' assets share: how a result becomes materializations, checks and metadata in Dagster."""

import atexit
import gc
from typing import Final

#: After how many new objects Python looks for cycles among them, and after how many looks among older ones;
#: usual are 700, 10 and 10. Loading Dagster and a code location makes hundreds of thousands of objects that
#: all stay: looks at them were an eighth of what the process of a launched run costs.
LOOKS: Final = (10_000, 20, 20)

gc.set_threshold(*LOOKS)

# A process that ends would look at all of them once more: half a second, a whole one with what judges rows.
atexit.register(gc.freeze)
