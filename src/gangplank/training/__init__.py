"""What the exporter asks as a model trains.

- `schedule`: when it is to show something;
- `weights_watch`: what the weights are like;
- `updates`: how far they have moved;
- `processes`: whether this process is to push.
"""

from gangplank.training.processes import checked_push_from, gateway_of_process
from gangplank.training.schedule import Schedule
from gangplank.training.weights_watch import WeightsWatch

__all__ = ["Schedule", "WeightsWatch", "checked_push_from", "gateway_of_process"]
