mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  archive_prefix         = "progress"
  mirror_expiration_days = 365
}

run "nobody_outside_reads_the_archive" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.archive[0].block_public_acls,
      aws_s3_bucket_public_access_block.archive[0].block_public_policy,
      aws_s3_bucket_public_access_block.archive[0].ignore_public_acls,
      aws_s3_bucket_public_access_block.archive[0].restrict_public_buckets,
    ])
    error_message = "The bucket can be made public."
  }

  assert {
    condition = anytrue([for s in jsondecode(aws_s3_bucket_policy.archive[0].policy).Statement :
      s.Effect == "Deny" && s.Action == "s3:*" && s.Principal == "*" && s.Condition.Bool["aws:SecureTransport"] == "false" &&
      contains(s.Resource, aws_s3_bucket.archive[0].arn) && contains(s.Resource, "${aws_s3_bucket.archive[0].arn}/*")
    ])
    error_message = "Requests without TLS are not denied."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.archive[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "The bucket does not encrypt."
  }

  assert {
    condition     = aws_s3_bucket_versioning.archive[0].versioning_configuration[0].status == "Enabled"
    error_message = "The bucket keeps no versions."
  }
}

run "no_rule_removes_the_current_version_of_a_body" {
  assert {
    condition = alltrue([for r in aws_s3_bucket_lifecycle_configuration.archive[0].rule :
      length(r.transition) == 0 && alltrue([for e in r.expiration :
        (e.days == null && e.date == null) || !startswith("progress/body/default/orders/1-abc", r.filter[0].prefix)
      ])
    ])
    error_message = "A rule removes bodies by age: an idle checkpoint would lose its state."
  }
}

run "a_rule_removes_what_is_left_of_uploads" {
  assert {
    condition = anytrue([for r in aws_s3_bucket_lifecycle_configuration.archive[0].rule :
      try(r.abort_incomplete_multipart_upload[0].days_after_initiation, 0) == 7 && startswith("progress/body/x", r.filter[0].prefix)
    ])
    error_message = "Incomplete uploads stay for ever."
  }
}

run "old_objects_of_the_mirror_go_when_asked" {
  assert {
    condition = anytrue([for r in aws_s3_bucket_lifecycle_configuration.archive[0].rule :
      try(r.expiration[0].days, 0) == 365 && r.filter[0].prefix == "progress/v/"
    ])
    error_message = "The mirror does not expire."
  }
}

run "the_mirror_stays_for_ever_when_nothing_is_said" {
  variables {
    mirror_expiration_days = null
  }

  assert {
    condition = alltrue([for r in aws_s3_bucket_lifecycle_configuration.archive[0].rule :
      alltrue([for e in r.expiration : e.days == null && e.date == null])
    ])
    error_message = "A rule removes objects by age."
  }
}

run "the_archive_has_a_url" {
  assert {
    condition     = output.archive_url == "s3://milepost-2026/progress?region=eu-west-1"
    error_message = "The archive's URL is ${output.archive_url}."
  }
}

run "a_bucket_without_a_prefix_has_a_url_too" {
  variables {
    archive_prefix = ""
  }

  assert {
    condition     = output.archive_url == "s3://milepost-2026?region=eu-west-1"
    error_message = "The archive's URL is ${output.archive_url}."
  }
}

run "without_an_archive_there_is_no_bucket_and_no_policy_names_s3" {
  variables {
    archive = false
  }

  assert {
    condition     = length(aws_s3_bucket.archive) == 0 && output.archive_url == null && output.archive_bucket == null
    error_message = "There is an archive."
  }

  assert {
    condition     = alltrue([for document in [output.policy_documents.job["default"], output.policy_documents.reader, output.policy_documents.operator] : !strcontains(document, "s3:")])
    error_message = "A policy allows something of S3."
  }
}
