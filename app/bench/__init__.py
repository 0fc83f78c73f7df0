"""The load tool: sends photos, checks and times every answer."""
