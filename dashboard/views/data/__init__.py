"""The Data page and its parts."""

PAGE = "Data"  # as records of accesses to test images name it
