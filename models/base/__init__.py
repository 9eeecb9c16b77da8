"""What any program needs, and nothing of speech: files, command lines, processes, devices."""
