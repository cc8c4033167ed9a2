"""What `test_image` needs: a registry, and scripts that run in and around the images."""
