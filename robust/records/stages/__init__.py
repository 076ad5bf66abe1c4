"""Results of the stages beside the attacks: certificates, corruptions, scenarios, storage."""
