"""What tests stand on: fakes of our own ports, far sides as child processes, a simulated world."""
