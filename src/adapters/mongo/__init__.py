"""Read models in MongoDB, and the queries that they answer."""
