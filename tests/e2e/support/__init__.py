"""What the end-to-end tests share: servers that they start, clients, and waiting for conditions."""
