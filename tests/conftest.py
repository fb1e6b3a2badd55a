"""Settings of the whole suite."""

from hypothesis import settings

settings.register_profile("keras-ab", deadline=None, print_blob=True)
settings.load_profile("keras-ab")
