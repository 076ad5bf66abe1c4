"""MedMNIST-C: corruptions and severities for each data set (Di Salvo et al. 2024, 2406.17536)."""
