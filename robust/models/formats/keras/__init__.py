"""Models of Keras 3 and Keras 2, run by Keras on its torch backend."""
