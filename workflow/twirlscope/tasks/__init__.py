"""The tasks that the package brings, a file each."""
