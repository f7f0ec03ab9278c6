"""A training process that ends in the middle of a report, as one that is killed while it writes."""

import os

from normlab.store.claims import Claim
from worker.messages import Progress, Ready, Run

if __name__ == "__main__":
    os.write(0, Ready(device="a device", threads=1).line())
    os.read(0, len(Run(claim=Claim(1, 1)).line()))
    os.write(0, Progress(claim=Claim(1, 1), step=1).line()[:20])
