locals {
  monitor = var.monitor_package == null ? 0 : 1
}

# The command itself, behind a few lines of shell that take events: see lambda/bootstrap.
resource "aws_lambda_function" "monitor" {
  count = local.monitor

  function_name    = "${var.name}-monitor"
  description      = "milepost monitor: tells of checkpoints that do not move, and collects what is left over"
  role             = aws_iam_role.monitor[0].arn
  filename         = var.monitor_package
  source_code_hash = filebase64sha256(var.monitor_package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.monitor_architecture]
  timeout          = var.monitor_timeout_seconds
  memory_size      = var.monitor_memory_mb
  tags             = var.tags

  environment {
    variables = merge(
      { MILEPOST_STORE = local.store_url },
      var.archive ? { MILEPOST_ARCHIVE = local.archive_url } : {},
    )
  }

  # Lambda would make the log group itself, and keep it for ever.
  depends_on = [aws_cloudwatch_log_group.monitor, aws_iam_role_policy.monitor]
}

resource "aws_cloudwatch_log_group" "monitor" {
  count = local.monitor

  name              = "/aws/lambda/${var.name}-monitor"
  retention_in_days = var.monitor_log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "monitor" {
  count = local.monitor

  name        = "${var.name}-monitor"
  description = "The Lambda function that runs milepost monitor"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# Its metrics go by its log, which CloudWatch takes them out of.
resource "aws_iam_role_policy" "monitor" {
  count = local.monitor

  name = "monitor"
  role = aws_iam_role.monitor[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.reader_statements, local.collector_statements, [{
      Sid      = "Log"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.monitor[0].arn}:*"]
    }])
  })
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
  description         = "One look at namespace ${each.key} of ${var.name}"
  schedule_expression = var.monitor_every_minutes == 1 ? "rate(1 minute)" : "rate(${var.monitor_every_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.monitor[0].arn
    role_arn = aws_iam_role.schedule[0].arn
    input    = jsonencode({ namespace = each.key })

    # The next look makes up for one that failed.
    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 0
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

  name = "invoke"
  role = aws_iam_role.schedule[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = aws_lambda_function.monitor[0].arn
    }]
  })
}
