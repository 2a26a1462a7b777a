"""The run log on Valkey or Redis Streams: many processes, one log (extra `scale`)."""
