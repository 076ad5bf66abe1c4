"""Adversarial images as files: survival after quantisation, export to PNG and DICOM."""
