# The command itself, behind a few lines of shell that take events: see lambda/bootstrap.
resource "aws_lambda_function" "monitor" {
  count = local.on_lambda

  function_name    = "${var.name}-monitor"
  description      = "milepost monitor: reports checkpoints that do not move, and collects what is left over"
  role             = aws_iam_role.monitor[0].arn
  filename         = var.monitor_package
  source_code_hash = filebase64sha256(var.monitor_package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.monitor_architecture]
  timeout          = var.monitor_timeout_seconds
  memory_size      = coalesce(var.monitor_memory_mb, 256)
  tags             = var.tags

  environment {
    variables = merge(local.monitor_environment, { MONITOR_EVERY = local.monitor_every })
  }

  # Otherwise Lambda makes the log group itself and keeps it forever.
  depends_on = [aws_cloudwatch_log_group.monitor, aws_iam_role_policy.monitor]
}

locals {
  invoke_statements = [for function in aws_lambda_function.monitor : {
    Effect   = "Allow"
    Action   = "lambda:InvokeFunction"
    Resource = function.arn
  }]
}
