"""One module a resource. Thin: what a route needs to know lives below it."""
