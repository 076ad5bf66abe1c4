"""Volumes: NIfTI files and DICOM series."""
