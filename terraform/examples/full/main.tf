# Everything: two teams' namespaces, a key of one's own, bounds on cost, alarms that
# call someone, and the monitor on Lambda.

provider "aws" {
  region = "eu-west-1"
}

variable "monitor_package" {
  description = "The zip file that `go run ./terraform/lambda monitor.zip` made."
  type        = string
}

variable "kms_key_arn" {
  description = "The key for table and archive."
  type        = string
}

resource "aws_sns_topic" "on_call" {
  name              = "checkpoints-on-call"
  kms_master_key_id = var.kms_key_arn
}

module "milepost" {
  source = "../.."

  name       = "progress"
  namespaces = ["billing", "search"]
  tags       = { team = "data-platform" }

  kms_key_arn             = var.kms_key_arn
  max_read_request_units  = 4000
  max_write_request_units = 2000

  archive_bucket_name    = "example-progress-archive"
  archive_prefix         = "milepost"
  mirror_expiration_days = 400
  deleted_retention_days = 90

  alarm_actions    = [aws_sns_topic.on_call.arn]
  losses_threshold = 3
  runbook          = "https://wiki.example.com/milepost/operations"

  monitor_package       = var.monitor_package
  monitor_every_minutes = 1
}

# A job of the billing team: nothing but its namespace.
resource "aws_iam_role" "invoices" {
  name = "invoices"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "invoices" {
  role       = aws_iam_role.invoices.name
  policy_arn = module.milepost.policy_arns.job["billing"]
}

# Who is on call.
resource "aws_iam_role_policy_attachment" "on_call" {
  role       = "on-call"
  policy_arn = module.milepost.policy_arns.operator
}

output "store" {
  description = "For MILEPOST_STORE."
  value       = module.milepost.store_url
}

output "archive" {
  description = "For MILEPOST_ARCHIVE."
  value       = module.milepost.archive_url
}
