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
    condition     = aws_lambda_function.monitor[0].environment[0].variables == tomap({ MILEPOST_STORE = output.store_url, MILEPOST_ARCHIVE = output.archive_url, MONITOR_EVERY = "5m" })
    error_message = "The monitor looks at another store, or shares its collecting out otherwise than it is called."
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
    condition     = length(aws_lambda_function.monitor) == 0 && length(aws_scheduler_schedule.monitor) == 0 && length(aws_iam_role.monitor) == 0 && output.monitor_function == null
    error_message = "There is a function."
  }

  assert {
    condition     = contains(output.alarm_names, "milepost-billing-heartbeat")
    error_message = "Nobody learns that nothing monitors."
  }
}

run "on_ecs_a_task_looks_at_each_namespace" {
  variables {
    monitor_on              = "ecs"
    monitor_package         = null
    monitor_image           = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ops/milepost:v1.2.3"
    monitor_subnets         = ["subnet-1", "subnet-2"]
    monitor_security_groups = ["sg-1"]
    monitor_every_minutes   = 10
  }

  assert {
    condition     = length(aws_lambda_function.monitor) == 0 && output.monitor_function == null && output.monitor_task_definition == aws_ecs_task_definition.monitor[0].arn
    error_message = "There is a function as well."
  }

  assert {
    condition = { for name, schedule in aws_scheduler_schedule.monitor : name => jsondecode(schedule.target[0].input).containerOverrides[0].command } == {
      for name in ["billing", "search"] : name => ["monitor", "--once", "--every", "10m", "--namespace", name]
    }
    error_message = "A namespace is not monitored, or the monitor shares its collecting out otherwise than it is called."
  }

  assert {
    condition     = alltrue([for s in aws_scheduler_schedule.monitor : s.target[0].arn == aws_ecs_cluster.monitor[0].arn && s.target[0].ecs_parameters[0].task_definition_arn == aws_ecs_task_definition.monitor[0].arn])
    error_message = "The schedule runs something else."
  }

  assert {
    condition = alltrue([for s in aws_scheduler_schedule.monitor : s.target[0].ecs_parameters[0].launch_type == "FARGATE" &&
      s.target[0].ecs_parameters[0].network_configuration[0].subnets == toset(["subnet-1", "subnet-2"]) &&
      s.target[0].ecs_parameters[0].network_configuration[0].security_groups == toset(["sg-1"]) &&
    s.target[0].ecs_parameters[0].network_configuration[0].assign_public_ip == false])
    error_message = "The tasks run in another network."
  }

  assert {
    condition = { for e in jsondecode(aws_ecs_task_definition.monitor[0].container_definitions)[0].environment : e.name => e.value } == {
      MILEPOST_STORE = output.store_url, MILEPOST_ARCHIVE = output.archive_url
    }
    error_message = "The monitor looks at another store."
  }

  assert {
    condition     = aws_ecs_task_definition.monitor[0].memory == "512" && aws_ecs_task_definition.monitor[0].runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "The task is of another size, or for another machine."
  }

  assert {
    condition     = contains(flatten([for s in jsondecode(aws_iam_role_policy.execution[0].policy).Statement : s.Resource]), "arn:aws:ecr:eu-west-1:123456789012:repository/ops/milepost")
    error_message = "The image cannot be fetched."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.schedule[0].policy).Statement[0].Condition.ArnEquals["ecs:cluster"] == aws_ecs_cluster.monitor[0].arn && !strcontains(aws_iam_role_policy.monitor[0].policy, "logs:")
    error_message = "The schedule may run it elsewhere, or the command may write logs."
  }
}

run "on_a_cluster_that_is_there_with_an_image_that_is_public" {
  variables {
    monitor_on          = "ecs"
    monitor_package     = null
    monitor_image       = "public.example.com/milepost/milepost:v1.2.3"
    monitor_subnets     = ["subnet-1"]
    monitor_cluster_arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/ops"
    monitor_public_ip   = true
    monitor_memory_mb   = 1024
  }

  assert {
    condition     = length(aws_ecs_cluster.monitor) == 0 && aws_scheduler_schedule.monitor["billing"].target[0].arn == "arn:aws:ecs:eu-west-1:123456789012:cluster/ops"
    error_message = "It runs in another cluster."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.execution[0].policy, "ecr:") && aws_ecs_task_definition.monitor[0].memory == "1024"
    error_message = "It may fetch images that it does not need."
  }
}
