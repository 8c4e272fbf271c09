"""Runs tasks: ``local`` in this process, one asyncio loop."""
