"""All that knows of Apache Beam: file systems, the transforms that lift stages, the runners."""
