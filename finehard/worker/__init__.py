"""What one worker process holds for all stages: clients, journal, images, detector, status."""
