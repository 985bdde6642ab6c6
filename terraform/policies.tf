# Three kinds of policy, each with what its role does and no more. A test runs each role's work
# and compares. The module makes the table, so no policy allows that.

locals {
  index_arn   = "${aws_dynamodb_table.this.arn}/index/names"
  archive_arn = join("", aws_s3_bucket.archive[*].arn)

  # With a key of the caller's own, DynamoDB and S3 use the key in the caller's name.
  kms_statements = [for statement in [{
    Sid       = "Key"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    Resource  = [var.kms_key_arn]
    Condition = { StringLike = { "kms:ViaService" = ["dynamodb.*.amazonaws.com", "s3.*.amazonaws.com"] } }
  }] : statement if var.kms_key_arn != null]

  publish_statement = {
    Sid       = "Metrics"
    Effect    = "Allow"
    Action    = ["cloudwatch:PutMetricData"]
    Resource  = ["*"] # the action knows no resources
    Condition = { StringEquals = { "cloudwatch:namespace" = local.metrics.namespace } }
  }

  # For each namespace, its jobs: the leading key is ns#name in the table, and ns in the index.
  job_statements = { for namespace in var.namespaces : namespace => concat(
    [
      {
        Sid      = "Checkpoints"
        Effect   = "Allow"
        Action   = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"]
        Resource = [aws_dynamodb_table.this.arn]
        Condition = {
          "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["${namespace}#*"] }
          Null                      = { "dynamodb:LeadingKeys" = "false" }
        }
      },
      {
        Sid      = "Names"
        Effect   = "Allow"
        Action   = ["dynamodb:Query"]
        Resource = [local.index_arn]
        Condition = {
          "ForAllValues:StringEquals" = { "dynamodb:LeadingKeys" = [namespace] }
          Null                        = { "dynamodb:LeadingKeys" = "false" }
        }
      },
      local.publish_statement,
    ],
    [for statement in [
      {
        Sid    = "Objects"
        Effect = "Allow"
        Action = ["s3:GetObject", "s3:PutObject"]
        Resource = [
          "${local.archive_arn}/${local.bodies}${namespace}/*",
          "${local.archive_arn}/${local.mirror}${namespace}/*",
        ]
      },
      {
        # Its own bodies: those of a save that failed, and those that its session swept.
        Sid      = "Bodies"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject"]
        Resource = ["${local.archive_arn}/${local.bodies}${namespace}/*"]
      },
      {
        # With this permission S3 says that an object is missing, instead of that access is denied.
        Sid       = "ObjectNames"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [local.archive_arn]
        Condition = { StringLike = { "s3:prefix" = ["${local.bodies}${namespace}/*", "${local.mirror}${namespace}/*"] } }
      },
    ] : statement if var.archive],
    local.kms_statements,
  ) }

  look_statements = [
    {
      Sid      = "Checkpoints"
      Effect   = "Allow"
      Action   = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"]
      Resource = [aws_dynamodb_table.this.arn]
    },
    {
      Sid      = "Names"
      Effect   = "Allow"
      Action   = ["dynamodb:Query"]
      Resource = [local.index_arn]
    },
  ]

  object_names_statements = [for statement in [{
    Sid       = "ObjectNames"
    Effect    = "Allow"
    Action    = ["s3:ListBucket"]
    Resource  = [local.archive_arn]
    Condition = { StringLike = { "s3:prefix" = ["${local.bodies}*", "${local.mirror}*"] } }
  }] : statement if var.archive]

  reader_statements = concat(
    local.look_statements,
    [
      {
        Sid      = "Settings"
        Effect   = "Allow"
        Action   = ["dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"]
        Resource = [aws_dynamodb_table.this.arn]
      },
    ],
    [for statement in [{
      Sid      = "Objects"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${local.archive_arn}/${local.bodies}*", "${local.archive_arn}/${local.mirror}*"]
    }] : statement if var.archive],
    local.object_names_statements,
    local.kms_statements,
  )

  # In addition to what a reader may do.
  operator_statements = concat(
    [{
      Sid      = "Changes"
      Effect   = "Allow"
      Action   = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
      Resource = [aws_dynamodb_table.this.arn]
    }],
    [for statement in [
      {
        Sid      = "ObjectChanges"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:PutObject"]
        Resource = ["${local.archive_arn}/${local.bodies}*", "${local.archive_arn}/${local.mirror}*"]
      },
      {
        # Objects of the mirror are too small for multipart uploads.
        Sid      = "Uploads"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload"]
        Resource = ["${local.archive_arn}/${local.bodies}*"]
      },
      {
        # The scratch object on which `milepost check` proves the bucket's conditions.
        Sid      = "ScratchObjects"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${local.archive_arn}/${local.archive_root}check/*"]
      },
    ] : statement if var.archive],
  )

  # It surveys, and collects as `milepost gc` does.
  monitor_statements = concat(
    local.look_statements,
    local.object_names_statements,
    [{
      Sid      = "Collect"
      Effect   = "Allow"
      Action   = ["dynamodb:DeleteItem", "dynamodb:UpdateItem"]
      Resource = [aws_dynamodb_table.this.arn]
    }],
    [for statement in [
      {
        Sid      = "CollectBodies"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = ["${local.archive_arn}/${local.bodies}*"]
      },
      {
        # latest.json says whether the store went back: then nothing is collected.
        Sid      = "MirroredVersions"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${local.archive_arn}/${local.mirror}*"]
      },
    ] : statement if var.archive],
    local.kms_statements,
  )

  policies = {
    job      = { for namespace, statements in local.job_statements : namespace => jsonencode({ Version = "2012-10-17", Statement = statements }) }
    reader   = jsonencode({ Version = "2012-10-17", Statement = local.reader_statements })
    operator = jsonencode({ Version = "2012-10-17", Statement = concat(local.reader_statements, local.operator_statements) })
  }
}

resource "aws_iam_policy" "job" {
  for_each = var.namespaces

  name        = "${var.name}-job-${each.key}"
  description = "For jobs that keep their progress in namespace ${each.key} of ${var.name}"
  policy      = local.policies.job[each.key]
  tags        = var.tags
}

resource "aws_iam_policy" "reader" {
  name        = "${var.name}-reader"
  description = "Reads all checkpoints of ${var.name}, and changes nothing"
  policy      = local.policies.reader
  tags        = var.tags
}

resource "aws_iam_policy" "operator" {
  name        = "${var.name}-operator"
  description = "Repairs all checkpoints of ${var.name}: set, rollback, reset, delete, restore, lease break, gc"
  policy      = local.policies.operator
  tags        = var.tags
}
