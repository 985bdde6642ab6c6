locals {
  on_lambda = var.monitor_on == "lambda" && var.monitor_package != null ? 1 : 0
  on_ecs    = var.monitor_on == "ecs" ? 1 : 0
  monitor   = local.on_lambda + local.on_ecs

  monitor_every = "${var.monitor_every_minutes}m" # what it shares its collecting out by
  monitor_environment = merge(
    { MILEPOST_STORE = local.store_url },
    var.archive ? { MILEPOST_ARCHIVE = local.archive_url } : {},
  )
}

resource "aws_cloudwatch_log_group" "monitor" {
  count = local.monitor

  name              = "/aws/${var.monitor_on}/${var.name}-monitor"
  retention_in_days = var.monitor_log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "monitor" {
  count = local.monitor

  name        = "${var.name}-monitor"
  description = "What runs milepost monitor"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = local.on_ecs == 1 ? "ecs-tasks.amazonaws.com" : "lambda.amazonaws.com" }
    }]
  })
}

# CloudWatch takes the monitor's metrics out of its log. On Lambda the function's role writes the log.
resource "aws_iam_role_policy" "monitor" {
  count = local.monitor

  name = "monitor"
  role = aws_iam_role.monitor[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.monitor_statements, [for statement in [local.log_statement] : statement if local.on_lambda == 1])
  })
}

locals {
  log_statement = {
    Sid      = "Log"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = [for group in aws_cloudwatch_log_group.monitor : "${group.arn}:*"]
  }
}

resource "aws_scheduler_schedule_group" "monitor" {
  count = local.monitor

  name = "${var.name}-monitor"
  tags = var.tags
}

resource "aws_scheduler_schedule" "monitor" {
  for_each = local.monitor == 1 ? var.namespaces : []

  name                = each.key
  group_name          = aws_scheduler_schedule_group.monitor[0].name
  description         = "One survey of namespace ${each.key} of ${var.name}"
  schedule_expression = var.monitor_every_minutes == 1 ? "rate(1 minute)" : "rate(${var.monitor_every_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = local.on_ecs == 1 ? local.cluster_arn : aws_lambda_function.monitor[0].arn
    role_arn = aws_iam_role.schedule[0].arn
    input = local.on_ecs == 1 ? jsonencode({
      containerOverrides = [{ name = "monitor", command = ["monitor", "--once", "--every", local.monitor_every, "--namespace", each.key] }]
    }) : jsonencode({ namespace = each.key })

    # The next survey makes up for one that failed.
    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 0
    }

    dynamic "ecs_parameters" {
      for_each = aws_ecs_task_definition.monitor

      content {
        task_definition_arn = ecs_parameters.value.arn
        launch_type         = "FARGATE"

        network_configuration {
          subnets          = var.monitor_subnets
          security_groups  = var.monitor_security_groups
          assign_public_ip = var.monitor_public_ip
        }
      }
    }
  }
}

resource "aws_iam_role" "schedule" {
  count = local.monitor

  name        = "${var.name}-monitor-schedule"
  description = "The schedule that starts milepost monitor"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  count = local.monitor

  name = local.on_ecs == 1 ? "run" : "invoke"
  role = aws_iam_role.schedule[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.run_statements, local.invoke_statements) # one of them is empty
  })
}
