locals {
  # The service writes -1 for "no bound" if only the other one has a bound.
  bounded = var.max_read_request_units != null || var.max_write_request_units != null
  bounds = {
    read  = coalesce(var.max_read_request_units, -1)
    write = coalesce(var.max_write_request_units, -1)
  }
}

# As `milepost table create` makes it; a test compares the two.
resource "aws_dynamodb_table" "this" {
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection
  tags                        = var.tags

  dynamic "attribute" {
    for_each = ["pk", "sk", "ns", "name"]

    content {
      name = attribute.value
      type = "S"
    }
  }

  # The names of checkpoints. Its keys never change, so that a save writes nothing to it.
  global_secondary_index {
    name            = "names"
    hash_key        = "ns"
    range_key       = "name"
    projection_type = "KEYS_ONLY"

    dynamic "on_demand_throughput" {
      for_each = local.bounded ? [local.bounds] : []

      content {
        max_read_request_units  = on_demand_throughput.value.read
        max_write_request_units = on_demand_throughput.value.write
      }
    }
  }

  # Only copies of versions have it.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  dynamic "on_demand_throughput" {
    for_each = local.bounded ? [local.bounds] : []

    content {
      max_read_request_units  = on_demand_throughput.value.read
      max_write_request_units = on_demand_throughput.value.write
    }
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}
