variable "name" {
  description = "The name of the table. The names of everything else begin with it."
  type        = string
  default     = "milepost"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{2,31}$", var.name))
    error_message = "name has 3 to 32 of A-Z a-z 0-9 _ -, and begins with a letter or a digit."
  }
}

variable "namespaces" {
  description = "The namespaces in use. Each gets a policy for its jobs, alarms, and, with a monitor, a schedule of the monitor."
  type        = set(string)
  default     = ["default"]

  # A namespace may hold more than this, but * and ? are wildcards in a policy, and $ begins a variable.
  validation {
    condition     = alltrue([for namespace in var.namespaces : can(regex("^[A-Za-z0-9_.-]{1,64}$", namespace))])
    error_message = "A namespace has 1 to 64 of A-Z a-z 0-9 _ . - here, because it becomes part of policies and of names."
  }

  validation {
    condition     = length(var.namespaces) > 0
    error_message = "Name at least one namespace; milepost's own default is \"default\"."
  }
}

variable "tags" {
  description = "Tags for everything that can have tags."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "The KMS key that encrypts table and archive. Null: DynamoDB's own key, and S3's (SSE-S3). The policies allow its use."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, not of an alias: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the table until this is turned off. Without the table all checkpoints are gone."
  type        = bool
  default     = true
}

variable "point_in_time_recovery" {
  description = "Keep the backups from which the table can be restored to any second of the last 35 days."
  type        = bool
  default     = true
}

variable "max_read_request_units" {
  description = "The most read units a second that the table, and its index, may take, to bound what a mistake costs. Null: no bound. Above it, readers are throttled."
  type        = number
  default     = null

  validation {
    condition     = var.max_read_request_units == null || try(var.max_read_request_units >= 1 && floor(var.max_read_request_units) == var.max_read_request_units, false)
    error_message = "max_read_request_units is a whole number of 1 or more, or null."
  }
}

variable "max_write_request_units" {
  description = "The most write units a second that the table, and its index, may take. Null: no bound. Above it, saves and heartbeats are throttled: leave room for all jobs at the same time."
  type        = number
  default     = null

  validation {
    condition     = var.max_write_request_units == null || try(var.max_write_request_units >= 1 && floor(var.max_write_request_units) == var.max_write_request_units, false)
    error_message = "max_write_request_units is a whole number of 1 or more, or null."
  }
}

variable "archive" {
  description = "Make a bucket for large states and for the mirror of committed versions."
  type        = bool
  default     = true
}

variable "archive_bucket_name" {
  description = "The bucket's name, which must be unique in the world. Null: a unique one that begins with name."
  type        = string
  default     = null

  validation {
    condition     = var.archive_bucket_name == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.archive_bucket_name))
    error_message = "A bucket's name has 3 to 63 of a-z 0-9 . -, and begins and ends with a letter or a digit."
  }
}

variable "archive_prefix" {
  description = "The prefix of all keys in the bucket, without a slash at either end. Empty: no prefix."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$", var.archive_prefix)) && length(var.archive_prefix) <= 128
    error_message = "archive_prefix is a path of A-Z a-z 0-9 _ . - without a slash at its ends, at most 128 bytes long."
  }
}

variable "mirror_expiration_days" {
  description = "Remove objects of the mirror that are older than this. Null: never. A lost table can be rebuilt only as far as the mirror goes, so choose more than the longest time a job may be idle. Bodies of states are never removed by age: the newest version may have any age."
  type        = number
  default     = null

  validation {
    condition     = var.mirror_expiration_days == null || try(var.mirror_expiration_days >= 30 && floor(var.mirror_expiration_days) == var.mirror_expiration_days, false)
    error_message = "mirror_expiration_days is a whole number of 30 or more, which is how long versions stay in the table by default, or null."
  }
}

variable "deleted_retention_days" {
  description = "How many days the bucket keeps what was deleted from it or overwritten."
  type        = number
  default     = 30

  validation {
    condition     = try(var.deleted_retention_days >= 1 && floor(var.deleted_retention_days) == var.deleted_retention_days, false)
    error_message = "deleted_retention_days is a whole number of 1 or more."
  }
}

variable "alarms" {
  description = "Make the alarms."
  type        = bool
  default     = true
}

variable "alarm_actions" {
  description = "ARNs that an alarm notifies when it goes off and when it ends: usually SNS topics."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_actions : can(regex("^arn:[a-z-]+:[a-z0-9-]+:", arn))])
    error_message = "alarm_actions are ARNs."
  }
}

variable "runbook" {
  description = "The address of docs/operations.md: each alarm's description ends with this and an anchor in it."
  type        = string
  default     = "docs/operations.md"
}

variable "failures_threshold" {
  description = "How many saves may fail within 5 minutes before the alarm goes off, for each namespace."
  type        = number
  default     = 0

  validation {
    condition     = try(var.failures_threshold >= 0, false)
    error_message = "failures_threshold is 0 or more."
  }
}

variable "losses_threshold" {
  description = "How many leases may be lost within 5 minutes before the alarm goes off, for each namespace."
  type        = number
  default     = 0

  validation {
    condition     = try(var.losses_threshold >= 0, false)
    error_message = "losses_threshold is 0 or more."
  }
}

variable "throttles_threshold" {
  description = "How many requests DynamoDB may throttle within 5 minutes before the alarm goes off. A few are retried and cost only time."
  type        = number
  default     = 10

  validation {
    condition     = try(var.throttles_threshold >= 0, false)
    error_message = "throttles_threshold is 0 or more."
  }
}

variable "dashboard" {
  description = "Make the dashboard."
  type        = bool
  default     = true
}

variable "monitor_on" {
  description = "What the monitor runs on: lambda, from monitor_package, or ecs (Fargate), from monitor_image."
  type        = string
  default     = "lambda"

  validation {
    condition     = contains(["lambda", "ecs"], var.monitor_on)
    error_message = "monitor_on is lambda or ecs."
  }
}

variable "monitor_package" {
  description = "With monitor_on lambda: path of the monitor's zip file, as `go run ./terraform/lambda FILE` makes it. Null: run `milepost monitor` elsewhere. The alarm on its heartbeat goes off if no monitor runs."
  type        = string
  default     = null

  validation {
    condition     = var.monitor_package == null || try(fileexists(var.monitor_package), false)
    error_message = "There is no such file; `go run ./terraform/lambda FILE` makes it."
  }

  validation {
    condition     = var.monitor_package == null || var.monitor_on == "lambda"
    error_message = "monitor_package is for monitor_on lambda; ecs takes monitor_image."
  }
}

variable "monitor_image" {
  description = "With monitor_on ecs: Milepost's container image, by tag or digest. The policy allows fetching an image from ECR."
  type        = string
  default     = null

  validation {
    condition     = (var.monitor_image != null) == (var.monitor_on == "ecs")
    error_message = "monitor_on ecs needs a monitor_image, and lambda takes none."
  }

  validation {
    condition     = var.monitor_image == null || can(regex("^[a-z0-9][a-z0-9./_:-]*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.monitor_image))
    error_message = "monitor_image ends in a tag or a digest: registry/repository:tag."
  }
}

variable "monitor_subnets" {
  description = "With monitor_on ecs: the subnets that its tasks run in, with a way to DynamoDB, S3, CloudWatch Logs and the image's registry."
  type        = list(string)
  default     = []

  validation {
    condition     = (length(var.monitor_subnets) > 0) == (var.monitor_on == "ecs") && alltrue([for subnet in var.monitor_subnets : startswith(subnet, "subnet-")])
    error_message = "monitor_on ecs needs monitor_subnets, each subnet-…, and lambda takes none."
  }
}

variable "monitor_security_groups" {
  description = "With monitor_on ecs: its tasks' security groups, which let HTTPS out. Empty: the VPC's default one."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.monitor_security_groups) == 0 || var.monitor_on == "ecs" && alltrue([for group in var.monitor_security_groups : startswith(group, "sg-")])
    error_message = "monitor_security_groups are for monitor_on ecs, each sg-…."
  }
}

variable "monitor_public_ip" {
  description = "With monitor_on ecs: give its tasks public addresses, for subnets without NAT and without VPC endpoints."
  type        = bool
  default     = false
}

variable "monitor_cluster_arn" {
  description = "With monitor_on ecs: the ARN of the cluster to run in. Null: the module makes one, which costs nothing."
  type        = string
  default     = null

  validation {
    condition     = var.monitor_cluster_arn == null || var.monitor_on == "ecs" && can(regex("^arn:[a-z0-9-]+:ecs:[a-z0-9-]+:\\d{12}:cluster/.+$", var.monitor_cluster_arn))
    error_message = "monitor_cluster_arn is for monitor_on ecs: arn:aws:ecs:REGION:ACCOUNT:cluster/NAME."
  }
}

variable "monitor_architecture" {
  description = "The architecture of the binary in monitor_package or monitor_image: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.monitor_architecture)
    error_message = "monitor_architecture is arm64 or x86_64."
  }
}

variable "monitor_every_minutes" {
  description = "How often the monitor surveys each namespace. The alarm on its heartbeat goes off after three misses."
  type        = number
  default     = 5

  validation {
    condition     = contains([1, 5, 10, 15, 30, 60], var.monitor_every_minutes)
    error_message = "monitor_every_minutes is 1, 5, 10, 15, 30 or 60."
  }
}

variable "monitor_timeout_seconds" {
  description = "With monitor_on lambda: how long one survey may take. A million checkpoints take minutes."
  type        = number
  default     = 300

  validation {
    condition     = try(var.monitor_timeout_seconds >= 10 && var.monitor_timeout_seconds <= 900, false)
    error_message = "monitor_timeout_seconds lies between 10 and 900."
  }
}

variable "monitor_memory_mb" {
  description = "The monitor's memory in MB. On Lambda its share of a processor grows with it. On ECS it has a quarter of a processor, and 512, 1024 or 2048 MB. Null: 256 on Lambda, 512 on ECS."
  type        = number
  default     = null

  validation {
    condition = var.monitor_memory_mb == null || (var.monitor_on == "ecs" ?
      contains([512, 1024, 2048], coalesce(var.monitor_memory_mb, 0)) :
    coalesce(var.monitor_memory_mb, 0) >= 128 && coalesce(var.monitor_memory_mb, 0) <= 10240)
    error_message = "monitor_memory_mb lies between 128 and 10240 on Lambda, and is 512, 1024 or 2048 on ECS."
  }
}

variable "monitor_log_retention_days" {
  description = "How many days the monitor's log is kept. CloudWatch accepts 1, 3, 5, 7, 14, 30, 60, 90 and so on."
  type        = number
  default     = 14

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.monitor_log_retention_days)
    error_message = "monitor_log_retention_days is 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}
