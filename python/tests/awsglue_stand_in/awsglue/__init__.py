"""What of awsglue the examples need, as Glue has it: to be found only by the tests."""
