"""The part of awsglue that the examples need, as on Glue. Only the tests find it."""
