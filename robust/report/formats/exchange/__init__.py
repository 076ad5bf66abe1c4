"""Files that other systems read: a CycloneDX ML-BOM and a Hugging Face model card."""
