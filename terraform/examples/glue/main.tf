# A Glue job that resumes: its script, milepost's wheel, and a role that may keep its
# progress in one namespace.

provider "aws" {
  region = "eu-west-1"
}

variable "wheel" {
  description = "Path of milepost's wheel, which holds the command as well."
  type        = string
}

variable "script" {
  description = "Path of the job's script."
  type        = string
}

variable "code_bucket" {
  description = "The bucket that script and wheel go to."
  type        = string
}

module "milepost" {
  source = "../.."

  namespaces = ["glue"]
}

data "aws_partition" "current" {}

resource "aws_s3_object" "script" {
  bucket      = var.code_bucket
  key         = "orders/${basename(var.script)}"
  source      = var.script
  source_hash = filemd5(var.script)
}

resource "aws_s3_object" "wheel" {
  bucket      = var.code_bucket
  key         = "orders/${basename(var.wheel)}"
  source      = var.wheel
  source_hash = filemd5(var.wheel)
}

resource "aws_glue_job" "orders" {
  name              = "orders"
  role_arn          = aws_iam_role.orders.arn
  glue_version      = "5.0"
  worker_type       = "G.1X"
  number_of_workers = 2
  timeout           = 120
  max_retries       = 2 # each goes on where the last one died

  command {
    script_location = "s3://${aws_s3_object.script.bucket}/${aws_s3_object.script.key}"
    python_version  = "3"
  }

  execution_property {
    max_concurrent_runs = 1
  }

  default_arguments = {
    "--additional-python-modules" = "s3://${aws_s3_object.wheel.bucket}/${aws_s3_object.wheel.key}"
    "--milepost_store"            = module.milepost.store_url
    "--milepost_archive"          = module.milepost.archive_url
    "--milepost_namespace"        = "glue"
  }
}

resource "aws_iam_role" "orders" {
  name = "orders-glue"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "glue.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "glue" {
  role       = aws_iam_role.orders.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSGlueServiceRole"
}

resource "aws_iam_role_policy_attachment" "milepost" {
  role       = aws_iam_role.orders.name
  policy_arn = module.milepost.policy_arns.job["glue"]
}

resource "aws_iam_role_policy" "code" {
  name = "code"
  role = aws_iam_role.orders.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = [aws_s3_object.script.arn, aws_s3_object.wheel.arn]
    }]
  })
}
