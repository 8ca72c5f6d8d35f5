"""Runs programs: buffers, the thread team, compiled code and where it is kept."""
