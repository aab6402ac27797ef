"""What AWS says of a machine that it takes back, for the emulator and for those who stage it."""

from typing import Final

RECLAIMED: Final = "Your Spot Task was interrupted."
"""The `stoppedReason` of a reclaimed task. Giving it to StopTask stages a reclaim: the task then
carries the stop code that AWS gives to one."""
STOP_CODE: Final = "SpotInterruption"
NO_CAPACITY: Final = "no-spot-capacity"
"""While a file of this name is in the emulator's folder, RunTask finds no machine."""
