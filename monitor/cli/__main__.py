"""``python -m monitor.cli``: the command ``huiyin`` where its script is not installed."""

from monitor.cli.main import main

main()
