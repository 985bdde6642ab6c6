locals {
  # The names of docs/metrics.md that alarms and dashboard use. All have one
  # dimension, Namespace, and those of jobs may have series with more.
  metrics = {
    namespace = "Milepost"
    dimension = "Namespace"

    # published by the monitor
    heartbeat    = "MonitorHeartbeat"
    overdue      = "OverdueCheckpoints"
    checkpoints  = "Checkpoints"
    held         = "HeldLeases"
    archive_lag  = "ArchiveLag"
    archive_gaps = "ArchiveGaps"

    # published by jobs
    saves         = "Saves"
    save_failures = "SaveFailures"
    save_latency  = "SaveLatency"
    lease_losses  = "LeaseLosses"
    throttles     = "Throttles"
    processed     = "RecordsProcessed"
    failed        = "RecordsFailed"
  }

  # The section of docs/operations.md with the name of an alarm says how to fix what it reports.
  namespace_alarms = merge(
    {
      overdue = {
        metric      = local.metrics.overdue
        statistic   = "Maximum"
        period      = var.monitor_every_minutes * 60
        evaluate    = 1
        breach      = "GreaterThanThreshold"
        threshold   = 0
        missing     = "ignore" # the heartbeat reports a dead monitor
        description = "A checkpoint has not been saved for longer than expected."
      }
      failures = {
        metric      = local.metrics.save_failures
        statistic   = "Sum"
        period      = 300
        evaluate    = 1
        breach      = "GreaterThanThreshold"
        threshold   = var.failures_threshold
        missing     = "notBreaching" # no job runs
        description = "Saves fail: the progress of their jobs is not recorded."
      }
      losses = {
        metric      = local.metrics.lease_losses
        statistic   = "Sum"
        period      = 300
        evaluate    = 1
        breach      = "GreaterThanThreshold"
        threshold   = var.losses_threshold
        missing     = "notBreaching"
        description = "A job lost its lease while it ran, and stopped."
      }
      heartbeat = {
        metric      = local.metrics.heartbeat
        statistic   = "Sum"
        period      = var.monitor_every_minutes * 60
        evaluate    = 3
        breach      = "LessThanThreshold"
        threshold   = 1
        missing     = "breaching" # a dead monitor sends nothing
        description = "The monitor is silent: an overdue checkpoint would go unnoticed."
      }
    },
    { for name, alarm in {
      archive-gaps = {
        metric      = local.metrics.archive_gaps
        statistic   = "Maximum"
        period      = var.monitor_every_minutes * 60
        evaluate    = 1
        breach      = "GreaterThanThreshold"
        threshold   = 0
        missing     = "ignore"
        description = "Versions expired before they were mirrored: the archive has a gap."
      }
    } : name => alarm if var.archive },
  )

  alarms_of_namespaces = merge([
    for namespace in var.namespaces : {
      for name, alarm in local.namespace_alarms : "${namespace}/${name}" => merge(alarm, { namespace = namespace, name = name })
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "namespace" {
  for_each = { for key, alarm in local.alarms_of_namespaces : key => alarm if var.alarms }

  alarm_name          = "${var.name}-${each.value.namespace}-${each.value.name}"
  alarm_description   = "${each.value.description} What to do: ${var.runbook}#${each.value.name}"
  namespace           = local.metrics.namespace
  metric_name         = each.value.metric
  dimensions          = { (local.metrics.dimension) = each.value.namespace }
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.evaluate
  comparison_operator = each.value.breach
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}

# DynamoDB's own count: a job that is throttled to a standstill need not report it.
resource "aws_cloudwatch_metric_alarm" "throttles" {
  count = var.alarms ? 1 : 0

  alarm_name          = "${var.name}-throttles"
  alarm_description   = "DynamoDB throttles requests to ${var.name}: saves and heartbeats are late. What to do: ${var.runbook}#throttles"
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.throttles_threshold
  treat_missing_data  = "notBreaching" # nothing is throttled
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "throttled"
    label       = "Throttled requests"
    expression  = "FILL(reads, 0) + FILL(writes, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/DynamoDB"
        metric_name = metric_query.value
        dimensions  = { TableName = aws_dynamodb_table.this.name }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}
