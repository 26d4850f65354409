"""Numbers as they look elsewhere than on houses: displays, counters, plates, bibs, handwriting."""
