mock_provider "aws" {
  source = "./tests/mocks"
}

run "a_name_with_a_slash" {
  command = plan

  variables {
    name = "a/b"
  }

  expect_failures = [var.name]
}

run "a_namespace_with_a_wildcard" {
  command = plan

  variables {
    namespaces = ["billing*"]
  }

  expect_failures = [var.namespaces]
}

run "a_namespace_with_a_hash" {
  command = plan

  variables {
    namespaces = ["a#b"]
  }

  expect_failures = [var.namespaces]
}

run "a_namespace_with_a_policy_variable" {
  command = plan

  variables {
    namespaces = ["$${aws:username}"]
  }

  expect_failures = [var.namespaces]
}

run "no_namespace" {
  command = plan

  variables {
    namespaces = []
  }

  expect_failures = [var.namespaces]
}

run "an_alias_for_a_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/x"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_bound_of_zero" {
  command = plan

  variables {
    max_read_request_units = 0
  }

  expect_failures = [var.max_read_request_units]
}

run "half_a_unit" {
  command = plan

  variables {
    max_write_request_units = 0.5
  }

  expect_failures = [var.max_write_request_units]
}

run "a_bucket_in_capitals" {
  command = plan

  variables {
    archive_bucket_name = "Milepost"
  }

  expect_failures = [var.archive_bucket_name]
}

run "a_prefix_that_ends_in_a_slash" {
  command = plan

  variables {
    archive_prefix = "progress/"
  }

  expect_failures = [var.archive_prefix]
}

run "a_mirror_of_a_day" {
  command = plan

  variables {
    mirror_expiration_days = 1
  }

  expect_failures = [var.mirror_expiration_days]
}

run "deleted_for_no_time" {
  command = plan

  variables {
    deleted_retention_days = 0
  }

  expect_failures = [var.deleted_retention_days]
}

run "an_action_that_is_no_arn" {
  command = plan

  variables {
    alarm_actions = ["on-call@example.com"]
  }

  expect_failures = [var.alarm_actions]
}

run "failures_below_none" {
  command = plan

  variables {
    failures_threshold = -1
  }

  expect_failures = [var.failures_threshold]
}

run "losses_below_none" {
  command = plan

  variables {
    losses_threshold = -1
  }

  expect_failures = [var.losses_threshold]
}

run "throttles_below_none" {
  command = plan

  variables {
    throttles_threshold = -1
  }

  expect_failures = [var.throttles_threshold]
}

run "a_package_that_is_not_there" {
  command = plan

  variables {
    monitor_package = "no-such.zip"
  }

  expect_failures = [var.monitor_package]
}

run "an_architecture_of_another_world" {
  command = plan

  variables {
    monitor_architecture = "riscv64"
  }

  expect_failures = [var.monitor_architecture]
}

run "seven_minutes" {
  command = plan

  variables {
    monitor_every_minutes = 7
  }

  expect_failures = [var.monitor_every_minutes]
}

run "an_hour_for_one_look" {
  command = plan

  variables {
    monitor_timeout_seconds = 3600
  }

  expect_failures = [var.monitor_timeout_seconds]
}

run "no_memory" {
  command = plan

  variables {
    monitor_memory_mb = 64
  }

  expect_failures = [var.monitor_memory_mb]
}

run "a_log_for_eight_days" {
  command = plan

  variables {
    monitor_log_retention_days = 8
  }

  expect_failures = [var.monitor_log_retention_days]
}


run "a_monitor_on_a_mainframe" {
  command = plan

  variables {
    monitor_on = "mainframe"
  }

  expect_failures = [var.monitor_on]
}

run "ecs_without_an_image" {
  command = plan

  variables {
    monitor_on      = "ecs"
    monitor_subnets = ["subnet-1"]
  }

  expect_failures = [var.monitor_image]
}

run "ecs_without_subnets" {
  command = plan

  variables {
    monitor_on    = "ecs"
    monitor_image = "example.com/milepost:v1"
  }

  expect_failures = [var.monitor_subnets]
}

run "ecs_with_what_is_no_subnet" {
  command = plan

  variables {
    monitor_on      = "ecs"
    monitor_image   = "example.com/milepost:v1"
    monitor_subnets = ["vpc-1"]
  }

  expect_failures = [var.monitor_subnets]
}

run "ecs_with_a_package_of_lambdas" {
  command = plan

  variables {
    monitor_on      = "ecs"
    monitor_image   = "example.com/milepost:v1"
    monitor_subnets = ["subnet-1"]
    monitor_package = "README.md"
  }

  expect_failures = [var.monitor_package]
}

run "lambda_with_an_image" {
  command = plan

  variables {
    monitor_image = "example.com/milepost:v1"
  }

  expect_failures = [var.monitor_image]
}

run "lambda_in_subnets" {
  command = plan

  variables {
    monitor_subnets = ["subnet-1"]
  }

  expect_failures = [var.monitor_subnets]
}

run "lambda_with_security_groups" {
  command = plan

  variables {
    monitor_security_groups = ["sg-1"]
  }

  expect_failures = [var.monitor_security_groups]
}

run "a_cluster_by_its_name" {
  command = plan

  variables {
    monitor_on          = "ecs"
    monitor_image       = "example.com/milepost:v1"
    monitor_subnets     = ["subnet-1"]
    monitor_cluster_arn = "ops"
  }

  expect_failures = [var.monitor_cluster_arn]
}

run "an_image_without_a_tag" {
  command = plan

  variables {
    monitor_on      = "ecs"
    monitor_subnets = ["subnet-1"]
    monitor_image   = "example.com/milepost"
  }

  expect_failures = [var.monitor_image]
}

run "memory_that_fargate_does_not_have" {
  command = plan

  variables {
    monitor_on        = "ecs"
    monitor_image     = "example.com/milepost:v1"
    monitor_subnets   = ["subnet-1"]
    monitor_memory_mb = 256
  }

  expect_failures = [var.monitor_memory_mb]
}
