"""scatter_add."""
def lower(form, target): raise NotImplementedError
