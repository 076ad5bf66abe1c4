"""Black boxes: classifiers of which only answers are known, over HTTP or as a Python callable."""
