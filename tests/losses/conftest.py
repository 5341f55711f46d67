from hypothesis import settings

# The first call into a library may take long; that says nothing of the code under test.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
