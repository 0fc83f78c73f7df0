"""The processes that decode and that own the model: started, fed, watched, replaced."""
