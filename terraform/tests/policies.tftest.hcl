mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  namespaces = ["billing", "search"]
}

run "a_job_reaches_its_namespace_and_no_other" {
  assert {
    condition = alltrue([for s in jsondecode(output.policy_documents.job["billing"]).Statement :
      contains(["dynamodb", "s3", "cloudwatch"], split(":", s.Action[0])[0])
    ])
    error_message = "A job may do something to another service."
  }

  assert {
    condition = alltrue([for s in jsondecode(output.policy_documents.job["billing"]).Statement :
      strcontains(jsonencode(try(s.Condition["ForAllValues:StringLike"], s.Condition["ForAllValues:StringEquals"])), "billing") && s.Condition.Null["dynamodb:LeadingKeys"] == "false"
      if startswith(s.Action[0], "dynamodb:")
    ])
    error_message = "A job reaches more of the table than its namespace."
  }

  assert {
    condition = flatten([for s in jsondecode(output.policy_documents.job["billing"]).Statement :
      flatten([for k, v in s.Condition : v["dynamodb:LeadingKeys"] if startswith(k, "ForAllValues")]) if startswith(s.Action[0], "dynamodb:")
    ]) == ["billing#*", "billing"]
    error_message = "The leading keys are not ns#… of the table and ns of the index."
  }

  assert {
    condition = alltrue(flatten([for s in jsondecode(output.policy_documents.job["billing"]).Statement :
      [for r in s.Resource : endswith(r, "/body/billing/*") || endswith(r, "/v/billing/*")]
      if contains(["Objects", "Bodies"], s.Sid)
    ]))
    error_message = "A job reaches objects of another namespace."
  }

  assert {
    condition     = !strcontains(output.policy_documents.job["billing"], "search")
    error_message = "A job of one namespace is allowed something of another."
  }
}

run "a_reader_changes_nothing" {
  assert {
    condition     = !can(regex("Put|Update|Delete|Abort|Create|Restore", output.policy_documents.reader))
    error_message = "A reader may change something."
  }
}

run "nobody_makes_changes_or_deletes_a_table_or_a_bucket_and_nobody_scans" {
  assert {
    condition = alltrue([for document in concat(values(output.policy_documents.job), [output.policy_documents.reader, output.policy_documents.operator]) :
      !can(regex("CreateTable|UpdateTable|DeleteTable|UpdateTimeToLive|UpdateContinuousBackups|DeleteBucket|PutBucket|PutLifecycle|Scan|PartiQL|[a-z0-9]+:\\*\"", document))
    ])
    error_message = "A policy allows what is this module's to do."
  }
}

run "there_is_a_policy_for_each_namespace" {
  assert {
    condition     = [for policy in aws_iam_policy.job : policy.name] == ["milepost-job-billing", "milepost-job-search"]
    error_message = "The policies of jobs are named otherwise."
  }
}

run "the_monitor_collects_and_cannot_write" {
  variables {
    monitor_package = "tests/mocks/aws.tfmock.hcl" # any file
  }

  assert {
    condition     = !can(regex("PutItem|PutObject", aws_iam_role_policy.monitor[0].policy))
    error_message = "The monitor may write."
  }
}
