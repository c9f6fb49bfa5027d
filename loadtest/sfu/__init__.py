"""The benchmark of the SFU alone, beside Janus VideoRoom where that is installed."""
