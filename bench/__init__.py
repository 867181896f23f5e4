"""How fast the services are, as ratios to what aiohttp itself can do on the same core in the same run."""
