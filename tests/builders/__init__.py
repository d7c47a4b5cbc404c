"""What tests build their input with: images, manifests, runs, pages."""
