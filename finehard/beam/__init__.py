"""All that imports Apache Beam: the transforms that lift stages, and the runners."""
