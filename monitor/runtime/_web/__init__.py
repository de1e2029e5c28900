"""The parts of the web service: programs' API, platforms' routes, members' pages, operators' paths."""
