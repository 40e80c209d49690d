"""What tests share: real servers, machines and commands, and small data."""
