locals {
  archive_root = var.archive_prefix == "" ? "" : "${var.archive_prefix}/"
  bodies       = "${local.archive_root}body/"
  mirror       = "${local.archive_root}v/"
}

resource "aws_s3_bucket" "archive" {
  count = var.archive ? 1 : 0

  bucket        = var.archive_bucket_name
  bucket_prefix = var.archive_bucket_name == null ? "${lower(replace(var.name, "_", "-"))}-" : null
  tags          = var.tags
}

resource "aws_s3_bucket_versioning" "archive" {
  count = var.archive ? 1 : 0

  bucket = aws_s3_bucket.archive[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_ownership_controls" "archive" {
  count = var.archive ? 1 : 0

  bucket = aws_s3_bucket.archive[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "archive" {
  count = var.archive ? 1 : 0

  bucket                  = aws_s3_bucket.archive[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  count = var.archive ? 1 : 0

  bucket = aws_s3_bucket.archive[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_policy" "archive" {
  count = var.archive ? 1 : 0

  bucket = aws_s3_bucket.archive[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.archive[0].arn, "${aws_s3_bucket.archive[0].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 refuses both at the same time.
  depends_on = [aws_s3_bucket_public_access_block.archive]
}

# No rule may remove the current version of a body: the newest checkpoint of an idle job
# has an old body, and would lose its state. `milepost gc` removes bodies, because it knows
# which are used.
resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  count = var.archive ? 1 : 0

  bucket = aws_s3_bucket.archive[0].id

  rule {
    id     = "incomplete-uploads"
    status = "Enabled"

    filter {
      prefix = local.archive_root
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "deleted"
    status = "Enabled"

    filter {
      prefix = local.archive_root
    }

    noncurrent_version_expiration {
      noncurrent_days = var.deleted_retention_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = var.mirror_expiration_days == null ? [] : [var.mirror_expiration_days]

    content {
      id     = "old-mirror"
      status = "Enabled"

      filter {
        prefix = local.mirror
      }

      expiration {
        days = rule.value
      }
    }
  }

  # Rules for versions need versioning.
  depends_on = [aws_s3_bucket_versioning.archive]
}
