"""What people use: for now, the command that runs all services of a small roster in one process."""
