"""The shapes world: seeded scenes of colored shapes, written in the formats of real data sets."""
