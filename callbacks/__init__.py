"""Lightning callbacks, installed as showo_turbo.callbacks."""
