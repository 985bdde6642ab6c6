mock_provider "aws" {
  source = "./tests/mocks"
}

run "a_table_is_on_demand_protected_and_recoverable" {
  assert {
    condition     = aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST"
    error_message = "The table is not on demand."
  }

  assert {
    condition     = aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "The table can be deleted by mistake."
  }

  assert {
    condition     = aws_dynamodb_table.this.point_in_time_recovery[0].enabled
    error_message = "The table cannot be recovered."
  }

  assert {
    condition     = aws_dynamodb_table.this.ttl[0].enabled && aws_dynamodb_table.this.ttl[0].attribute_name == "expires_at"
    error_message = "Old copies do not expire."
  }

  assert {
    condition     = length(aws_dynamodb_table.this.on_demand_throughput) == 0 && length(aws_dynamodb_table.this.server_side_encryption) == 0
    error_message = "A bound or a key is set that nobody asked for."
  }

  assert {
    condition     = output.store_url == "dynamodb://milepost?region=eu-west-1"
    error_message = "The store's URL is ${output.store_url}."
  }
}

run "a_bound_is_that_of_the_table_and_of_its_index" {
  variables {
    max_write_request_units = 500
  }

  assert {
    condition     = aws_dynamodb_table.this.on_demand_throughput[0].max_write_request_units == 500
    error_message = "The table has no bound."
  }

  assert {
    condition     = one(aws_dynamodb_table.this.global_secondary_index).on_demand_throughput[0].max_write_request_units == 500
    error_message = "The index has no bound."
  }

  assert {
    condition     = aws_dynamodb_table.this.on_demand_throughput[0].max_read_request_units == -1
    error_message = "A bound on writes must leave reads without one."
  }
}

run "a_key_encrypts_table_and_archive_and_the_policies_allow_its_use" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234"
  }

  assert {
    condition     = aws_dynamodb_table.this.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    error_message = "The table is encrypted with another key."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.archive[0].rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    error_message = "The archive is encrypted with another key."
  }

  assert {
    condition = alltrue([for document in [output.policy_documents.job["default"], output.policy_documents.reader, output.policy_documents.operator] :
      anytrue([for s in jsondecode(document).Statement : s.Sid == "Key" && s.Resource == [var.kms_key_arn]])
    ])
    error_message = "A role may not use the key."
  }
}
