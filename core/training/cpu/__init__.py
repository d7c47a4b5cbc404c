"""Workarounds for slow spots of torch on the processor."""
