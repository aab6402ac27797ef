"""The engine of Seedwright: domain, adapters, worker and command line."""
