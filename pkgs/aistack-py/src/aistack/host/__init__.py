"""The state of the whole host: units, jobs, ports, certificates, disks."""
