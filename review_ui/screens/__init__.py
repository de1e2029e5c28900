"""One file per page; pages compose parts and call use cases, nothing else."""
