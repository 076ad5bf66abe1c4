"""DICOM files: reading, display and writing."""
