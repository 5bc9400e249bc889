"""The same transformer at four levels of abstraction, behind one interface (`interface.Transformer`)."""
