"""The datasets that the package brings, a file each."""
