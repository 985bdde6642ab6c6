mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  namespaces      = ["billing", "search"]
  monitor_package = "tests/mocks/aws.tfmock.hcl" # any file
}

run "the_monitor_looks_at_each_namespace_in_turn" {
  assert {
    condition     = { for name, schedule in aws_scheduler_schedule.monitor : name => jsondecode(schedule.target[0].input).namespace } == { billing = "billing", search = "search" }
    error_message = "A namespace is not monitored."
  }

  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.monitor : schedule.schedule_expression == "rate(5 minutes)" && schedule.target[0].arn == aws_lambda_function.monitor[0].arn])
    error_message = "The schedule is another."
  }

  assert {
    condition     = aws_lambda_function.monitor[0].environment[0].variables == tomap({ MILEPOST_STORE = output.store_url, MILEPOST_ARCHIVE = output.archive_url })
    error_message = "The monitor looks at another store."
  }

  assert {
    condition     = aws_lambda_function.monitor[0].runtime == "provided.al2023" && aws_lambda_function.monitor[0].architectures == tolist(["arm64"])
    error_message = "The function runs on another runtime."
  }
}

run "its_heartbeat_is_expected_as_often_as_it_runs" {
  variables {
    monitor_every_minutes = 1
  }

  assert {
    condition     = aws_scheduler_schedule.monitor["billing"].schedule_expression == "rate(1 minute)" && aws_cloudwatch_metric_alarm.namespace["billing/heartbeat"].period == 60
    error_message = "Schedule and alarm do not agree."
  }
}

run "without_a_package_it_runs_elsewhere_and_its_silence_is_still_alarmed" {
  variables {
    monitor_package = null
  }

  assert {
    condition     = length(aws_lambda_function.monitor) == 0 && length(aws_scheduler_schedule.monitor) == 0 && output.monitor_function == null
    error_message = "There is a function."
  }

  assert {
    condition     = contains(output.alarm_names, "milepost-billing-heartbeat")
    error_message = "Nobody learns that nothing monitors."
  }
}
