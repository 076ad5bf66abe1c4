"""What goes wrong while MRI reads the Fourier transform of an object, line by line."""
