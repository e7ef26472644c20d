"""What a GPU's compiler says, without a GPU."""
