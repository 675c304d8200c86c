"""How a diagnosis is made: trials of a model that leave no trace."""
