"""The HTTP surface: routes validate, call the core, and answer. Nothing else knows HTTP."""
