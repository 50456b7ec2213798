"""The cache policy: values of earlier calls in place of new ones."""
