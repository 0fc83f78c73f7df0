"""The processes that own the model: started, fed, watched, replaced."""
