locals {
  store_url   = "dynamodb://${aws_dynamodb_table.this.name}?region=${data.aws_region.current.region}"
  archive_url = var.archive ? "s3://${join("/", compact([aws_s3_bucket.archive[0].bucket, var.archive_prefix]))}?region=${data.aws_region.current.region}" : null
}

output "store_url" {
  description = "What --store and MILEPOST_STORE take."
  value       = local.store_url
}

output "archive_url" {
  description = "What --archive and MILEPOST_ARCHIVE take. Null without an archive."
  value       = local.archive_url
}

output "table_name" {
  description = "The table's name."
  value       = aws_dynamodb_table.this.name
}

output "table_arn" {
  description = "The table's ARN."
  value       = aws_dynamodb_table.this.arn
}

output "archive_bucket" {
  description = "The archive bucket's name. Null without an archive."
  value       = one(aws_s3_bucket.archive[*].bucket)
}

output "policy_arns" {
  description = "The ARNs of the policies to attach: job (by namespace), reader, operator."
  value = {
    job      = { for namespace, policy in aws_iam_policy.job : namespace => policy.arn }
    reader   = aws_iam_policy.reader.arn
    operator = aws_iam_policy.operator.arn
  }
}

output "policy_documents" {
  description = "The same policies as JSON, for roles that take them inline."
  value       = local.policies
}

output "alarm_names" {
  description = "The names of the alarms."
  value       = sort(concat([for alarm in aws_cloudwatch_metric_alarm.namespace : alarm.alarm_name], aws_cloudwatch_metric_alarm.throttles[*].alarm_name))
}

output "monitor_function" {
  description = "The name of the Lambda function that monitors. Null if there is none."
  value       = one(aws_lambda_function.monitor[*].function_name)
}

output "monitor_task_definition" {
  description = "The ARN of the ECS task definition that monitors. Null if there is none."
  value       = one(aws_ecs_task_definition.monitor[*].arn)
}
