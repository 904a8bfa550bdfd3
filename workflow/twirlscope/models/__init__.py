"""The models that the package brings, a file each."""
