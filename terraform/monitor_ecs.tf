data "aws_partition" "current" {}

# The command in its own image, on Fargate: a task for each survey of a namespace.
resource "aws_ecs_task_definition" "monitor" {
  count = local.on_ecs

  family                   = "${var.name}-monitor"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = tostring(coalesce(var.monitor_memory_mb, 512))
  task_role_arn            = aws_iam_role.monitor[0].arn
  execution_role_arn       = aws_iam_role.execution[0].arn
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.monitor_architecture == "arm64" ? "ARM64" : "X86_64"
  }

  container_definitions = jsonencode([{
    name                   = "monitor"
    image                  = var.monitor_image
    command                = ["monitor", "--once", "--every", local.monitor_every] # the schedule adds the namespace
    environment            = [for name, value in local.monitor_environment : { name = name, value = value }]
    essential              = true
    readonlyRootFilesystem = true
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.monitor[0].name
        "awslogs-region"        = data.aws_region.current.region
        "awslogs-stream-prefix" = "monitor"
      }
    }
  }])
}

resource "aws_ecs_cluster" "monitor" {
  count = local.on_ecs == 1 && var.monitor_cluster_arn == null ? 1 : 0

  name = "${var.name}-monitor"
  tags = var.tags
}

# What ECS itself does before the command runs: fetches the image, and writes the log.
resource "aws_iam_role" "execution" {
  count = local.on_ecs

  name        = "${var.name}-monitor-execution"
  description = "Starts the container of milepost monitor"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "execution" {
  count = local.on_ecs

  name = "start"
  role = aws_iam_role.execution[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.log_statement], local.image_statements)
  })
}

locals {
  cluster_arn = try(coalesce(var.monitor_cluster_arn, one(aws_ecs_cluster.monitor[*].arn)), null)

  # An image in ECR is the account's own and needs credentials. An image from elsewhere is public.
  ecr = try(regex("^(?P<account>\\d{12})\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/(?P<repository>[^:@]+)", var.monitor_image), null)
  image_statements = [for statement in [
    {
      Sid      = "Registry"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # the action knows no resources
    },
    {
      Sid      = "Image"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = [try("arn:${data.aws_partition.current.partition}:ecr:${local.ecr.region}:${local.ecr.account}:repository/${local.ecr.repository}", "")]
    },
  ] : statement if local.ecr != null]

  run_statements = flatten([for task in aws_ecs_task_definition.monitor : [
    {
      Effect    = "Allow"
      Action    = "ecs:RunTask"
      Resource  = task.arn
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
    },
    {
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = concat(aws_iam_role.monitor[*].arn, aws_iam_role.execution[*].arn)
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
  ]])
}
