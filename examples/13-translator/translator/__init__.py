"""The translator example: the data, the model, its training, and the graph that takes and answers texts."""
