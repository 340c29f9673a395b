"""From recorded events to a client's protocol: pure projections, one module a protocol."""
