"""Volumes: NIfTI files and DICOM series, whole or slice by slice."""
