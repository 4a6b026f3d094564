"""The emitters that come with sseprog; each is a plugin like anybody's."""
