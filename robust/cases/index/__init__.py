"""The index of a data set: names of classes and groups, class folders, files, samples."""
